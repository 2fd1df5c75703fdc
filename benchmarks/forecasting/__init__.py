"""Forecasts of five real series, compared with PyTorch and with the naive forecasts."""
