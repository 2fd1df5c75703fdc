"""The rows of `benchmarks.scale`: what grows, and what a step or a request then costs."""
