"""A real S3 server, and a model served where SageMaker's endpoint would be."""

import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.service.conftest import start
from tests.storage.conftest import Storage, moto, read_once, storage

__all__ = ["moto", "read_once", "storage"]
MADE = Path(__file__).parent / "mxnet"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    from hangtag.sagemaker.mxnet_model import import_mxnet  # needs onnx

    (tmp_path / "tags.txt").write_text("flower\nheart\nword\n")
    return import_mxnet(MADE / "model.tar.gz", tmp_path / "tags.txt", tmp_path / "model").path


@pytest.fixture
def endpoint(
    model: Path, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[dict[str, str]]]:
    """A real server of a model, at the address at which SageMaker's runtime would forward to it."""
    seen: list[dict[str, str]] = []
    server = start(model)

    class Runtime(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.append({"path": self.path, **self.headers})
            body = self.rfile.read(int(self.headers["Content-Length"]))
            connection = HTTPConnection(server.url.removeprefix("http://"))
            given = {name: self.headers[name] for name in ("Content-Type", "Accept")}
            connection.request("POST", "/invocations", body, given)
            answer = connection.getresponse()
            data = answer.read()
            connection.close()
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.headers["Content-Type"])
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    runtime = ThreadingHTTPServer(("127.0.0.1", 0), Runtime)
    threading.Thread(target=runtime.serve_forever, daemon=True).start()
    monkeypatch.setenv(
        "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", f"http://127.0.0.1:{runtime.server_port}"
    )
    yield seen
    runtime.shutdown()
    runtime.server_close()
    server.stop()
