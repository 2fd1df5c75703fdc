"""Hosts graphs of ONNX as they are, with ONNX Runtime: the second implementation of the network that sessions step."""
