"""Networks of PyTorch: from a state dict with the order of its modules, or from a module; and a state dict of any."""

from cellar.interchange.torch.from_module import import_torch
from cellar.interchange.torch.reader import read_torch

__all__ = ["import_torch", "read_torch"]
