"""Imports networks of PyTorch from state dicts or modules, and exports networks as state dicts."""

from cellar.interchange.torch.from_module import import_torch
from cellar.interchange.torch.reader import read_torch

__all__ = ["import_torch", "read_torch"]
