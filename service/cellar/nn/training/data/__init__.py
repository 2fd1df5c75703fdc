"""The data of a run, cut into batches."""
