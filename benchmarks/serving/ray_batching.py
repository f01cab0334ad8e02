"""Requests to `hangtag serve --cluster`: batches by hangtag's engine, or by Ray Serve.

    python benchmarks/serving/ray_batching.py MODEL /usr/share/openclipart/png

One copy with two cores behind Ray Serve's proxy, on loopback; the same server in all ways but that
`@serve.batch` collects the decoded designs, at once or for up to 10 ms. PNGs of at most 100 KB, by
so many clients that each wait for their answer. Interleaved rounds, medians. About four minutes.
Expected: no way is better by more than the rounds differ, so that the engine, which the server has
without Ray too, stays.
"""

import argparse
import os
import random
import statistics
import threading
import time
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hangtag.dataset.images import Pixels
from hangtag.service import serve as serving
from hangtag.service.config import ServeConfig
from hangtag.service.engine import Engine
from hangtag.tagging.tagger import BATCH, Tagger

CLIENTS = (1, 8, 32)
WAITS = {"Ray Serve, at once": 0.0, "Ray Serve, 10 ms": 0.01}  # seconds
LARGEST = 100_000  # bytes of a design


def by_ray(wait: float) -> type[Engine]:
    """Return the engine with batches by Ray Serve."""
    from ray import serve

    class RayEngine(Engine):
        async def score(self, data: bytes) -> tuple[Tagger, NDArray[np.float32]]:
            pixels = await self._input(self.tagger, data)
            return self.tagger, await self._scores(pixels)

        @serve.batch(max_batch_size=BATCH, batch_wait_timeout_s=wait)
        async def _scores(self, inputs: list[Pixels]) -> list[NDArray[np.float32]]:
            import asyncio

            loop = asyncio.get_running_loop()
            return list(await loop.run_in_executor(self._runner, self.tagger.scores, inputs))

    return RayEngine


def server(model: Path, engine: Callable[[], type[Engine]]) -> Callable[[], Any]:
    def app() -> Any:
        serving.Engine = engine()  # type: ignore[misc]
        return serving.application(model, ServeConfig(queue=256), None)[0]

    return app


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
    import ray
    from ray import serve

    found = [path for path in sorted(given.designs.rglob("*.png")) if path.stat().st_size < LARGEST]
    bodies = [path.read_bytes() for path in random.Random(0).sample(found, min(200, len(found)))]
    model = given.model.resolve()
    ways = {"the engine": lambda: Engine, **{
        name: (lambda wait=wait: by_ray(wait)) for name, wait in WAITS.items()
    }}  # fmt: skip
    ray.init(num_cpus=6, include_dashboard=False, log_to_driver=False)  # two for each way
    try:
        for number, engine in enumerate(ways.values()):
            copy = serve.deployment(
                name=f"way{number}", ray_actor_options={"num_cpus": 2}, max_ongoing_requests=256
            )(serve.ingress(server(model, engine))())
            serve.run(copy.bind(), name=f"way{number}", route_prefix=f"/way{number}")
        for clients in CLIENTS:
            rates: dict[str, list[float]] = {name: [] for name in ways}
            times: dict[str, list[float]] = {name: [] for name in ways}
            for _ in range(given.rounds + 1):  # the first warms up
                for number, name in enumerate(ways):
                    place = ("127.0.0.1", 8000, f"/way{number}/tag")
                    took = requested(place, bodies, clients, given.seconds)
                    rates[name].append(len(took) / given.seconds)
                    times[name].append(statistics.median(took))
            for name in ways:
                each = ", ".join(f"{rate:.0f}" for rate in rates[name][1:])
                print(f"{clients} clients, {name}: {statistics.median(rates[name][1:]):.0f}/s "
                      f"({each}), median {statistics.median(times[name][1:]) * 1000:.0f} ms",
                      flush=True)  # fmt: skip
    finally:
        serve.shutdown()
        ray.shutdown()


if __name__ == "__main__":
    main()
