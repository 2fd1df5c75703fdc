"""Exports networks as models of ONNX. Needs the package onnx (extra `cellar-serve[onnx]`)."""

from cellar.interchange.onnx_export.network_graph import NETWORK_KEY, network_model

__all__ = ["NETWORK_KEY", "network_model"]
