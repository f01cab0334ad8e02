"""The server in copies on a cluster, behind Ray's own proxy."""

import json
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

import hangtag
from hangtag.cluster.connection import joined
from hangtag.cluster.serving import NAME, serve_on_cluster
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


def running() -> int:
    """Return how many copies answer."""
    from ray import serve

    copies = serve.status().applications[NAME].deployments[NAME].replica_states
    return copies.get("RUNNING", 0)


def until(found: Callable[[], bool], seconds: float = 120) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end
        time.sleep(0.2)


def test_copies_answer_as_the_model_does_with_a_node_lost(
    library: Catalog, headed: Path, nodes: Nodes
) -> None:
    """Each of two nodes has a copy, so that one is there when the other is lost."""
    design = Path(library.location(library.designs[0]))
    expected = hangtag.load_model(headed / "model").tag(design)
    port, stop, answers = free_port(), threading.Event(), list[Any]()

    def answered() -> bool:
        headers = {"Content-Type": "image/png"}
        request = Request(f"http://127.0.0.1:{port}/tag", design.read_bytes(), headers)
        try:
            with urlopen(request, timeout=60) as found:
                answers.append(json.load(found))
        except OSError:  # not yet, or what a lost node had begun
            return False
        return True

    def ask() -> None:
        try:
            until(answered)
            until(lambda: running() == 2)
            nodes.lose()
            until(answered)
        finally:
            stop.set()

    thread = threading.Thread(target=ask)
    with joined(nodes.address):
        thread.start()
        serve_on_cluster(headed / "model", hangtag.ServeConfig(port=port), stop)
    thread.join()
    nodes.add()
    assert len(answers) == 2
    for answer in answers:
        assert [(tag["tag"], tag["mark"]) for tag in answer["images"][0]["tags"]] == [
            (one.tag, one.mark) for one in expected
        ]
