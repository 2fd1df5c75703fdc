"""Decoders of steps and sequences in all wire forms, and the encoders of their results."""
