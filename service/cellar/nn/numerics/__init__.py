"""Random numbers and logarithms with the same bits on every machine."""
