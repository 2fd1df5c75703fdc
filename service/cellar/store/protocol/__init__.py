"""The Redis protocol: URLs, requests, replies, scripts, errors."""
