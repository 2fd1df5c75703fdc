"""The JSON of networks and of training runs, as frozen values."""
