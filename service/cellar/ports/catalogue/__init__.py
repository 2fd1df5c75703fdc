"""What sessions run and what is trained: models, training jobs, and the blobs with their weights."""
