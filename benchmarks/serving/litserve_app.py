"""The same model in LitServe: `python litserve_app.py MODEL PORT`, for compare.py."""

import sys
from pathlib import Path

import litserve
from fastapi import UploadFile

from hangtag.tagging.tagger import Tagger


class Api(litserve.LitAPI):
    """Decodes with hangtag's own code and runs the same ONNX file, batched as LitServe does."""

    def setup(self, device: str) -> None:
        self.tagger = Tagger.open(Path(sys.argv[1]))

    def decode_request(self, request: UploadFile) -> object:
        return self.tagger.input_of(request.file.read())

    def batch(self, inputs: list) -> list:
        return inputs

    def predict(self, inputs: list) -> list:
        return list(self.tagger.scores(inputs))

    def unbatch(self, output: list) -> list:
        return output

    def encode_response(self, output: object) -> list:
        return [round(float(score), 6) for score in output]


if __name__ == "__main__":
    server = litserve.LitServer(
        Api(max_batch_size=16, batch_timeout=0.005), accelerator="cpu", workers_per_device=1
    )
    server.run(
        port=int(sys.argv[2]), host="127.0.0.1", log_level="warning", generate_client_file=False
    )
