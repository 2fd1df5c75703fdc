"""The data of a run: checks, alignment, and division into batches."""
