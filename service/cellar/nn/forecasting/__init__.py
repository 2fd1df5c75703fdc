"""Forecasts: their metrics, and the naive forecasts that they are compared with."""
