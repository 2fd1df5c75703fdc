"""The command `cellar demo`: forecasts real measurements with a service that is killed half way and continues."""
