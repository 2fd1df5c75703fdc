"""Batches that several processes compute together, with the same bits for every number of processes."""
