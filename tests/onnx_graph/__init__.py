"""Graphs of ONNX that are hosted as they are."""
