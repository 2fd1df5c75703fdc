"""Networks of cells: their JSON, parameters and seeds; running them; losses, optimisers and training."""
