"""Publishing graphs of ONNX."""
