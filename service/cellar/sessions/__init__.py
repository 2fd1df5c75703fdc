"""Sessions and micro-batching: what every transport calls."""
