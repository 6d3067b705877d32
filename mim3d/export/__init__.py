"""Exporting a bundle's network as TorchScript or ONNX, and comparing the export with the network."""
