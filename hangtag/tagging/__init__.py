"""MODEL/ + design -> tags, with numpy and ONNX Runtime only."""
