"""Reads the cells of one column: numbers, categories, series and times."""
