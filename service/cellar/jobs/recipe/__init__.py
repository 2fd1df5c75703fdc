"""Chooses network, features and settings of a forecast from the readings of a dataset, and measures the result."""
