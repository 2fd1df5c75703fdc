"""Networks as models of ONNX, made from the graphs of their cells. Needs the package onnx (extra `cellar[onnx]`)."""

from cellar.interchange.onnx_export.network_graph import NETWORK_KEY, network_model

__all__ = ["NETWORK_KEY", "network_model"]
