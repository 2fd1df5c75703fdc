"""Models, jobs and blobs."""
