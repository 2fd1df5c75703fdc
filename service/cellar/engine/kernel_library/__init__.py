"""The functions that kernels are made of: they are compiled into every kernel that calls them."""
