"""Putting tags on designs with a trained model: numpy and ONNX Runtime only, no torch."""
