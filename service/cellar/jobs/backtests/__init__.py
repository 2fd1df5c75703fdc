"""Backtests: their request, and those that run as jobs."""
