"""Training jobs: submission, queue, workers, attempts, and a sweeper that queues jobs of dead workers again."""
