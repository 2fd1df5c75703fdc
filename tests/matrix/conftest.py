"""What pytest leaves alone here."""

collect_ignore = ["live.py", "make.py", "make_settings.py", "peer.py", "rounding.py", "run.py", "settings_peer.py"]
"""They need PyTorch, which `make bench-service` installs into an environment of its own."""
