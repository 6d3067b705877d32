"""What layers of inference.yaml bring: a network that ONNX Runtime computes."""

from .onnx_network import OnnxNetwork

__all__ = ["OnnxNetwork"]
