"""Views of a table: plots, single rows, statistics and exports."""
