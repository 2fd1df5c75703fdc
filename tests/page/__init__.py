"""The page at `/`, operated in Chromium."""
