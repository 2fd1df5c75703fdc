"""What one machine runs by itself: a private Redis, and the processes that `cellar serve` keeps alive."""
