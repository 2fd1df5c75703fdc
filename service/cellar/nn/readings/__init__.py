"""Readings of a table as inputs of a network: their columns, the numbers that were fitted, and the encoding of rows."""
