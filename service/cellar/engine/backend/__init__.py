"""From source text to loaded machine code: compiler processes, object files, the kernel cache."""
