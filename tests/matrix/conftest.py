"""What pytest leaves alone here."""

collect_ignore = ["make.py", "peer.py", "rounding.py", "run.py"]
"""They need PyTorch, which `make bench-service` installs into an environment of its own."""
