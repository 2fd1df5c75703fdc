"""From a memory plan to the source text of a kernel."""
