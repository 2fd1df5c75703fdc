"""Networks of layers: their specifications, their lowering to cells, and initial values of parameters."""
