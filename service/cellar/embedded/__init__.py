"""`cellar serve` on one machine: a private Redis, and the supervision of the API and worker processes."""
