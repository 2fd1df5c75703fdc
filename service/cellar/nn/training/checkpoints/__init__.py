"""The state of a training run: its progress, its checkpoints, and runs that continue another one."""
