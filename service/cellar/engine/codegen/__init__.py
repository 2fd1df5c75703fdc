"""From a graph to the source text of a kernel: schedule, memory schedule, source."""
