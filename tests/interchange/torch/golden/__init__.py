"""State dicts of PyTorch with inputs and outputs, and what must be said of their modules in the metadata."""
