"""What layers of inference.yaml bring: ONNX Runtime, test-time flips and ensembles."""

from .averaging import AveragingInferer
from .members import Members
from .onnx_network import OnnxNetwork

__all__ = ["AveragingInferer", "Members", "OnnxNetwork"]
