"""Commands for the operator of an installation: its settings, its faults, its backups."""
