"""Models that Keras 3 or Keras 2 saved, as `.keras` or `.h5`. Needs h5py (extra `cellar[keras]`), and no Keras."""

from cellar.interchange.keras.reader import read_keras

__all__ = ["read_keras"]
