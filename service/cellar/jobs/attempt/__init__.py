"""One attempt of a training job in a worker's child process: the run, its checkpoints and its lease."""
