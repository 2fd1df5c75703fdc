"""Cellar: recurrent networks whose hidden state outlives the request."""

__version__ = "0.1.0"
