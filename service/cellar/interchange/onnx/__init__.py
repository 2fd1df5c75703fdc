"""Imports models of ONNX as networks. Needs the package onnx (extra `cellar-serve[onnx]`), and no runtime."""

from cellar.interchange.onnx.reader import import_onnx, read_onnx

__all__ = ["import_onnx", "read_onnx"]
