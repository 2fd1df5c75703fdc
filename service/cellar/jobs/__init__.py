"""Training jobs: submitted, queued, carried out by a worker, and begun again when a worker dies."""
