"""Computes one update of the weights: loss, gradients, optimiser."""
