"""Models, training jobs and blobs, in Redis or (blobs) in a directory."""
