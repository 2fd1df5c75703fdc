"""Reads and writes binary frames, each with many steps or their answers."""
