"""Bodies and answers about models, cells, jobs and health."""
