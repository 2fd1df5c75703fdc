"""Cellar: recurrent networks whose hidden state outlives the request."""

from cellar import extension_modules as _extension_modules  # noqa: F401  # finds compiled modules, before any is imported

__version__ = "0.1.0"
