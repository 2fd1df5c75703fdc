"""One update of the weights: loss, gradients, optimiser."""
