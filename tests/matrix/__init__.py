"""Training jobs in every combination of loss, optimiser, layer, regime, scale and layout, against PyTorch."""
