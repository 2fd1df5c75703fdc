"""Networks of layers: parameters, lowering to cells, initial values."""
