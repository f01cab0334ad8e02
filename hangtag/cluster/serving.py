"""The server of `hangtag serve` in as many copies as there are requests for, by Ray Serve."""

import logging
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from hangtag.cluster.tasks import shipped
from hangtag.console import note
from hangtag.processes import terminable
from hangtag.service.config import ServeConfig
from hangtag.service.serve import application

NAME: Final = "hangtag"
AT_ONCE: Final = 8  # requests in a copy, by which Ray adds and ends copies: a batch of the engine
_CORES: Final = 4  # of a copy, where a node has them


def serve_on_cluster(model: Path, config: ServeConfig, stop: threading.Event | None = None) -> None:
    """Serve a model on all nodes until SIGTERM, Ctrl-C or `stop`; then remove it from the cluster.

    Every node listens at the host and port of `config`. Requests are batched by hangtag's engine
    in each copy. Raises ConfigError where other machines could reach it without a token.
    """
    from ray import serve

    token, folder = config.token(), shipped(model)

    def app() -> Any:
        return application(folder.copied(), config, token)[0]

    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    cores, least, most = _copies()
    copies = serve.deployment(
        name=NAME,
        ray_actor_options={"num_cpus": cores},
        max_ongoing_requests=config.queue,
        autoscaling_config={
            "min_replicas": least, "max_replicas": most, "target_ongoing_requests": AT_ONCE,
        },
    )(serve.ingress(app)())  # fmt: skip
    serve.start(proxy_location="EveryNode", http_options={"host": config.host, "port": config.port})
    try:
        serve.run(copies.bind(), name=NAME)
        note(f"{model} at http://{config.host}:{config.port}, {least}-{most} copies (Ctrl-C stops)")
        with terminable(), suppress(KeyboardInterrupt):
            (stop or threading.Event()).wait()
    finally:
        serve.shutdown()


def _copies() -> tuple[int, int, int]:
    """Return the cores of a copy, and the fewest and the most copies."""
    import ray

    nodes = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
    cores = min([_CORES, *filter(None, nodes)])
    # A second node has a second copy, which answers until the loss of the first is noticed.
    return cores, 1 + (sum(map(bool, nodes)) > 1), max(1, sum(n // cores for n in nodes))
