"""Golden vectors: what PyTorch answers, kept beside the tests so that the suite needs no PyTorch."""
