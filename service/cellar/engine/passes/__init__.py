"""The passes between a graph and the source text of a kernel: simplification, gradient, schedule, memory plan."""
