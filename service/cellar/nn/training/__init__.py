"""Training: batches, losses, optimisers, schedules, checkpoints."""
