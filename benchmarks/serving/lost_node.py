"""`hangtag serve --cluster` when a node with a copy of the server is lost.

    python benchmarks/serving/lost_node.py MODEL /usr/share/openclipart/png
    python benchmarks/serving/lost_node.py MODEL /usr/share/openclipart/png --clients 2

A Ray cluster on this machine: a head without cores, which stays, and others with a core each.
Clients that ask one after the other, over loopback, send designs to the proxy of the head. In the
middle the node that holds the oldest copy is killed with -9 (its raylet, proxy and workers), and
another added. Printed: how many requests failed or took long, and how long no answer came.
Expected: right answers again without a hand, requests fail within seconds of the kill only, none
hangs. Three minutes.
"""

import argparse
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
from ray_batching import is_readable

STORE = 256 * 2**20  # bytes of a node's object store
LARGEST = 100_000  # bytes of a design
DESIGNS = 20
PATIENCE = 60.0  # seconds that a client waits for an answer
SLOW = 5.0  # seconds
COPY = "ray::ServeReplica"  # how Ray calls the process of a copy
PORT = "RAY_SERVE_WORKER_PROXY_HTTP_PORT"  # of a node's proxy, for nodes that share a machine


@dataclass(frozen=True)
class Request:
    """A request and what became of it; times in seconds of `time.monotonic`."""

    began: float
    ended: float
    outcome: str
    """"right", "wrong" (another answer than before), a status, or an error."""


@dataclass
class Clients:
    """Clients that ask one after the other until `stop`."""

    port: int
    designs: Sequence[bytes]
    expected: dict[int, object] = field(default_factory=dict)
    """The first answer to each design."""
    done: list[Request] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def ask(self, number: int) -> str:
        """Send a design; return the outcome."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            headers = {"Content-Type": "image/png"}
            connection.request("POST", "/tag", self.designs[number], headers)
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, HTTPException) as error:
            return type(error).__name__
        finally:
            connection.close()
        if answer.status != 200:
            return str(answer.status)
        found = json.loads(body)["images"]
        return "right" if found == self.expected.setdefault(number, found) else "wrong"

    def loop(self, seed: int) -> None:
        order = random.Random(seed)
        while not self.stop.is_set():
            began = time.monotonic()
            outcome = self.ask(order.randrange(len(self.designs)))
            self.done.append(Request(began, time.monotonic(), outcome))
            if outcome != "right":
                self.stop.wait(0.1)  # as a client that tries again

    def wait_for_all(self, longest: float) -> None:
        """Ask for each design until there is an answer."""
        until = time.monotonic() + longest
        for number in range(len(self.designs)):
            while self.ask(number) != "right":
                assert time.monotonic() < until, "the server does not answer"
                time.sleep(0.5)


def designs_of(folder: Path) -> list[bytes]:
    found = [path for path in sorted(folder.rglob("*.png")) if path.stat().st_size < LARGEST]
    chosen = random.Random(0).sample(found, 2 * DESIGNS)
    return [data for path in chosen if is_readable(data := path.read_bytes())][:DESIGNS]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def add_node(cluster: Any, cores: int) -> None:
    # A port of its own: on one machine all proxies would share that of the head.
    cluster.add_node(
        num_cpus=cores, object_store_memory=STORE, env_vars={PORT: str(free_port())}, wait=False
    )


def copies(cluster: Any) -> list[tuple[float, Any]]:
    """Return when each copy of the server began, and its node, the oldest first."""
    found = []
    for node in cluster.worker_nodes:
        raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
        for process in raylet.children(recursive=True):
            try:
                if any(word.startswith(COPY) for word in process.cmdline()):
                    found.append((process.create_time(), node))
            except psutil.NoSuchProcess:
                continue
    return sorted(found, key=lambda one: one[0])


def report(done: Sequence[Request], killed: float) -> None:
    before = [one for one in done if one.ended < killed]
    good = sorted(one.ended for one in done if one.outcome == "right")
    gap = max(after - last for last, after in pairwise(good))
    print(f"before: {len(before)} requests, {outcomes(before)}, {times(before)}")
    after = [one for one in done if one.ended >= killed]
    print(f"after: {len(after)} requests, {outcomes(after)}, {times(after)}")
    bad = [one for one in after if one.outcome != "right"]
    if bad:
        print(f"failures {min(one.ended for one in bad) - killed:.1f} to "
              f"{max(one.ended for one in bad) - killed:.1f} s after the kill, waited for up to "
              f"{max(one.ended - one.began for one in bad):.1f} s")  # fmt: skip
    slow = [one for one in after if one.ended - one.began > SLOW]
    print(f"over {SLOW:.0f} s: {len(slow)}; longest time without a right answer {gap:.1f} s")
    late = [one for one in done if one.ended > max(one.ended for one in done) - 20]
    print(f"last 20 s: {len(late)} requests, {outcomes(late)}, {times(late)}", flush=True)


def outcomes(done: Sequence[Request]) -> dict[str, int]:
    return dict(Counter(one.outcome for one in done))


def times(done: Sequence[Request]) -> str:
    took = [one.ended - one.began for one in done]
    return f"median {statistics.median(took):.2f} s, longest {max(took):.2f} s"


def drill(cluster: Any, cores: int, clients: Clients, count: int, seconds: float) -> float:
    """Ask, kill a node in the middle, go on asking; return when it was killed."""
    threads = [threading.Thread(target=clients.loop, args=(seed,)) for seed in range(count)]
    for thread in threads:
        thread.start()
    try:
        time.sleep(seconds / 3)
        there = copies(cluster)
        print(f"{len(there)} copies on {len({node for _, node in there})} nodes", flush=True)
        killed = time.monotonic()
        cluster.remove_node(there[0][1], allow_graceful=False)
        add_node(cluster, cores)
        print(f"another node after {time.monotonic() - killed:.1f} s", flush=True)
        time.sleep(max(0.0, seconds * 2 / 3 - (time.monotonic() - killed)))
    finally:
        clients.stop.set()
        for thread in threads:
            thread.join(PATIENCE + 10)
    print(f"at the end {len(copies(cluster))} copies")
    return killed


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("designs", type=Path)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--nodes", type=int, default=2)
    parser.add_argument("--cores", type=int, default=1, help="that Ray takes each node to have")
    parser.add_argument("--seconds", type=float, default=120.0, help="of requests")
    given = parser.parse_args()
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_" + "worker_niceness"] = "0"  # as without Ray: Ray's is 15
    from ray.cluster_utils import Cluster

    clients = Clients(free_port(), designs_of(given.designs))
    head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": STORE}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    server = None
    try:
        for _ in range(given.nodes):
            add_node(cluster, given.cores)
        cluster.wait_for_nodes()
        words = ["serve", str(given.model), "--port", str(clients.port), "--cluster"]
        server = subprocess.Popen([sys.executable, "-m", "hangtag", *words, cluster.address])
        clients.wait_for_all(120)
        killed = drill(cluster, given.cores, clients, given.clients, given.seconds)
        report(clients.done, killed)
        assert server.poll() is None, "the command has ended"
    finally:
        if server is not None:
            server.send_signal(signal.SIGTERM)
            server.wait(120)
        cluster.shutdown()


if __name__ == "__main__":
    main()
