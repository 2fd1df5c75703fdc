"""Running compiled cells and networks on arrays."""
