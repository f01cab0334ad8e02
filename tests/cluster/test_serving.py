"""The server in copies on a cluster, behind Ray's own proxy."""

import json
import socket
import threading
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest

import hangtag
from hangtag.cluster.connection import joined
from hangtag.cluster.serving import serve_on_cluster
from hangtag.library.catalog import Catalog
from tests.cluster.conftest import Nodes

pytestmark = [
    pytest.mark.slow,  # starts a cluster
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # Ray's own, of its own settings
]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_copies_answer_as_the_model_does(library: Catalog, headed: Path, nodes: Nodes) -> None:
    design = Path(library.location(library.designs[0]))
    expected = hangtag.load_model(headed / "model").tag(design)
    port, stop, answers = free_port(), threading.Event(), list[object]()
    place = f"http://127.0.0.1:{port}"

    def ask() -> None:
        try:
            while not stop.is_set():
                try:
                    with urlopen(f"{place}/ping", timeout=5) as answer:
                        assert answer.status == 200
                    break
                except (URLError, OSError):
                    time.sleep(0.2)
            headers = {"Content-Type": "image/png"}
            request = Request(f"{place}/tag", design.read_bytes(), headers)
            with urlopen(request, timeout=120) as found:
                answers.append(json.load(found))
        finally:
            stop.set()

    thread = threading.Thread(target=ask)
    with joined(nodes.address):
        thread.start()
        serve_on_cluster(headed / "model", hangtag.ServeConfig(port=port), stop)
    thread.join()
    assert [(tag["tag"], tag["mark"]) for tag in answers[0]["images"][0]["tags"]] == [
        (one.tag, one.mark) for one in expected
    ]
