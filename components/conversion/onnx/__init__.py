"""OnnxConverter: an ONNX model."""
