"""A trained model in the formats of others: one ONNX file, a Hugging Face folder, PhotoPrism's."""
