"""Decoders of steps and states in all wire forms, and the encoders of steps in JSON."""
