"""Routes of models, cells and jobs, and of the service's health."""
