"""How good forecasts are: metrics, naive forecasts, comparisons and backtests."""
