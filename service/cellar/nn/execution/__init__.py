"""Runs compiled networks forward, and backward for training."""
