"""Requests to `hangtag serve --cluster`: batches by hangtag's engine, or by Ray Serve.

    python benchmarks/serving/ray_batching.py MODEL /usr/share/openclipart/png

One copy with two cores behind Ray Serve's proxy, on loopback; the same server in all ways but that
`@serve.batch` collects the decoded designs, at once or for up to 10 ms. PNGs of at most 100 KB, by
so many clients that each wait for their answer. Interleaved rounds, medians. About four minutes.
Expected: the engine, which the server has without Ray too, answers more from 8 clients on.
"""

import argparse
import os
import random
import statistics
import sys
import threading
import time
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from hangtag.dataset.images import decode
from hangtag.errors import ImageError
from hangtag.service import serve as serving
from hangtag.service.config import ServeConfig
from hangtag.service.engine import Engine
from hangtag.tagging.tagger import BATCH

CLIENTS = (1, 8, 32)
# Seconds for which Ray Serve collects a batch; None is the engine.
WAYS = {"the engine": None, "Ray Serve, at once": 0.0, "Ray Serve, 10 ms": 0.01}
STORE = 512 * 2**20  # bytes
LARGEST = 100_000  # bytes of a design


def by_ray(wait: float) -> type[Engine]:
    """Return the engine with batches by Ray Serve."""
    import asyncio

    from ray import serve

    class RayEngine(Engine):
        async def score(self, data: bytes) -> Any:
            pixels = await self._input(self.tagger, data)
            return self.tagger, await self._scores(pixels)

        @serve.batch(max_batch_size=BATCH, batch_wait_timeout_s=wait)
        async def _scores(self, inputs: list[Any]) -> list[Any]:
            loop = asyncio.get_running_loop()
            return list(await loop.run_in_executor(self._runner, self.tagger.scores, inputs))

    return RayEngine


def application_of(model: Path, wait: float | None) -> Any:
    """Return the server of a model; with `wait` its batches are Ray Serve's."""
    if wait is not None:
        serving.Engine = by_ray(wait)  # type: ignore[misc]
    return serving.application(model, ServeConfig(queue=256), None)[0]


def server(model: Path, wait: float | None) -> Callable[[], Any]:
    def app() -> Any:
        return application_of(model, wait)

    return app


def is_readable(data: bytes) -> bool:
    try:
        decode(data, 256, 25.0)
    except ImageError:
        return False
    return True


def requested(place: tuple[str, int, str], bodies: list[bytes], clients: int, seconds: float) -> (
    list[float]
):  # fmt: skip
    """Return the seconds of every answer to clients that ask one after the other."""
    host, port, path = place
    took: list[float] = []
    until = time.monotonic() + seconds

    def ask(number: int) -> None:
        connection = HTTPConnection(host, port, timeout=60)
        order = random.Random(number)
        while time.monotonic() < until:
            began = time.perf_counter()
            connection.request("POST", path, order.choice(bodies), {"Content-Type": "image/png"})
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200, answer.status
            took.append(time.perf_counter() - began)
        connection.close()

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds + 120)
    return took


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("designs", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each round")
    given = parser.parse_args()
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_" + "worker_niceness"] = "0"  # as without Ray: Ray's is 15
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    import ray
    import ray_batching  # this script, where the copies find it
    from ray import serve
    from ray.cluster_utils import Cluster

    found = [path for path in sorted(given.designs.rglob("*.png")) if path.stat().st_size < LARGEST]
    chosen = random.Random(0).sample(found, min(200, len(found)))
    bodies = [data for path in chosen if is_readable(data := path.read_bytes())]
    model = given.model.resolve()
    # Not ray.init alone, which would write a token into the home folder for all later clusters.
    head = {"num_cpus": 2 * len(WAYS), "include_dashboard": False, "object_store_memory": STORE}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        ray.init(cluster.address, log_to_driver=False)
        for number, wait in enumerate(WAYS.values()):
            copy = serve.deployment(
                name=f"way{number}", ray_actor_options={"num_cpus": 2}, max_ongoing_requests=256
            )(serve.ingress(ray_batching.server(model, wait))())
            serve.run(copy.bind(), name=f"way{number}", route_prefix=f"/way{number}")
        for clients in CLIENTS:
            rates: dict[str, list[float]] = {name: [] for name in WAYS}
            times: dict[str, list[float]] = {name: [] for name in WAYS}
            for _ in range(given.rounds + 1):  # the first warms up
                for number, name in enumerate(WAYS):
                    place = ("127.0.0.1", 8000, f"/way{number}/tag")
                    took = requested(place, bodies, clients, given.seconds)
                    rates[name].append(len(took) / given.seconds)
                    times[name].append(statistics.median(took))
            for name in WAYS:
                each = ", ".join(f"{rate:.0f}" for rate in rates[name][1:])
                print(f"{clients} clients, {name}: {statistics.median(rates[name][1:]):.0f}/s "
                      f"({each}), median {statistics.median(times[name][1:]) * 1000:.0f} ms",
                      flush=True)  # fmt: skip
    finally:
        serve.shutdown()
        ray.shutdown()
        cluster.shutdown()


if __name__ == "__main__":
    main()
