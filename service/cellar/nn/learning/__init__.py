"""Sessions that learn while they serve: what they keep in their state, and the networks that run them."""
