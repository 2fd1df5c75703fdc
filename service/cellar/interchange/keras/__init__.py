"""Imports models that Keras 3 or 2 saved (`.keras`, `.h5`). Needs h5py (extra `cellar-serve[keras]`), not Keras."""

from cellar.interchange.keras.reader import read_keras

__all__ = ["read_keras"]
