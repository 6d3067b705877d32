"""How much an export may differ from the network. Imports nothing, because the help of the command states it."""

#: Format -> largest difference allowed, as a share of the largest value.
TOLERANCE = {"torchscript": 1e-5, "onnx": 1e-4}
