"""Models, training jobs and blobs: values and protocols."""
