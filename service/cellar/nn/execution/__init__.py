"""Running and differentiating a compiled network."""
