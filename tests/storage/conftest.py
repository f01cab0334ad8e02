"""A real S3 server on loopback (moto), and a proxy before it that fails as a test wants."""

import contextlib
import functools
import select
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest

from hangtag.storage import s3, s3_requests


@dataclass
class Storage:
    """What a test sees of the proxy: the requests that came, and the faults to make."""

    url: str = ""
    requests: list[tuple[str, str, int]] = field(default_factory=list)  # method, path, status
    faults: dict[str, list[str]] = field(default_factory=dict)
    """By the end of a path: faults for its next requests, in order. The last one stays when it
    begins with `always `."""

    def fault(self, path: str) -> str:
        for end, faults in self.faults.items():
            if path.endswith(end) and faults:  # a path as it was sent: percent-encoded
                return faults[0].removeprefix("always ") if faults[0][:7] == "always " else (
                    faults.pop(0)
                )  # fmt: skip
        return ""

    def gets(self, end: str) -> list[int]:
        """Return the statuses of the GETs of a path, in order."""
        return [code for verb, path, code in self.requests if verb == "GET" and path.endswith(end)]


@pytest.fixture(scope="session")
def moto() -> Iterator[str]:
    from moto.server import ThreadedMotoServer  # an extra, which quick tests do without

    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def read_once() -> Iterator[None]:
    """botocore reads a service's description for every client: half of the time to make one."""
    from botocore.loaders import JSONFileLoader

    with pytest.MonkeyPatch.context() as patched:
        read = functools.cache(JSONFileLoader().load_file)
        patched.setattr(JSONFileLoader, "load_file", lambda _, path: read(path))
        yield


@pytest.fixture
def storage(
    moto: str, read_once: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Storage]:
    """A bucket `library`, empty, behind a proxy that can fail."""
    found = Storage()
    moto_host = urlsplit(moto).netloc

    class Proxy(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = urlsplit(self.path).path
            fault = found.fault(path)
            found.requests.append((self.command, path, 0))
            number = len(found.requests) - 1
            if fault in ("403", "500", "503"):
                code = {"403": "AccessDenied", "500": "InternalError", "503": "SlowDown"}[fault]
                answer = f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()
                found.requests[number] = (self.command, path, int(fault))
                self.answer(int(fault), {}, answer)
                return
            if fault == "stall":
                select.select([self.connection], [], [], 30)  # until the client hangs up
            connection = HTTPConnection(moto_host)
            connection.request(self.command, self.path, body, dict(self.headers.items()))
            reply = connection.getresponse()
            data = reply.read()
            connection.close()
            if fault == "garble":
                data = bytes([data[0] ^ 1]) + data[1:]
            found.requests[number] = (self.command, path, reply.status)
            self.answer(reply.status, dict(reply.headers.items()), data, fault)

        def answer(
            self, status: int, headers: dict[str, str], data: bytes, fault: str = ""
        ) -> None:
            self.send_response(status)
            for name, value in headers.items():
                if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                    self.send_header(name, value)
            size = headers.get("Content-Length") if self.command == "HEAD" else None
            if status not in (204, 304):
                self.send_header("Content-Length", size or str(len(data)))
            self.end_headers()
            with contextlib.suppress(OSError):  # the client may have given up, as is tested
                self.wfile.write(data[: len(data) // 2] if fault == "truncate" else data)
            if fault in ("truncate", "stall"):
                self.close_connection = True

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = forward  # noqa: N815

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, request: object, client_address: object) -> None:
            pass  # a client that hangs up, as the tests make it do

    server = Server(("127.0.0.1", 0), Proxy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    found.url = f"http://127.0.0.1:{server.server_port}"
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "HANGTAG_CACHE_GIB"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "AWS_ENDPOINT_URL": found.url,
        "AWS_ACCESS_KEY_ID": "anyone",
        "AWS_SECRET_ACCESS_KEY": "anything",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "no-config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "no-credentials"),
        "HANGTAG_CACHE": str(tmp_path / "cache"),
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(s3_requests, "READ_SECONDS", 1)
    monkeypatch.setattr(s3_requests, "_PAUSES", (0.01,) * 6)
    monkeypatch.setattr(s3, "_UPLOAD_ATTEMPTS", 8)  # of a second each, on a busy machine
    s3_requests.client.cache_clear()
    s3_requests._endpoint.answered()
    s3_requests.with_retries(
        "s3://library", lambda: s3_requests.client().create_bucket(Bucket="library")
    )
    # Made here: a test may leave an environment in which none can be made.
    clients = [s3_requests.client(attempts) for attempts in (1, s3._UPLOAD_ATTEMPTS)]
    found.requests.clear()
    yield found
    for client in clients:
        client.close()
    s3_requests.client.cache_clear()
    server.shutdown()
    server.server_close()
    urlopen(Request(f"{moto}/moto-api/reset", method="POST")).close()  # forgets every bucket


def put(address: str, data: bytes) -> None:
    """Write an object."""
    bucket, key = s3.split(address)
    s3_requests.with_retries(
        address, lambda: s3_requests.client().put_object(Bucket=bucket, Key=key, Body=data)
    )
