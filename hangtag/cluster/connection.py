"""A Ray cluster, joined for a command: `--cluster auto` or `--cluster ADDRESS`."""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Final
from urllib.parse import urlsplit

from hangtag.console import note
from hangtag.errors import ConfigError, HangtagError, JobError, MissingExtra

_SECONDS: Final = 10.0
# Where buckets are goes to the nodes with the job; credentials do not: Ray shows the environment of
# a job on its dashboard, and nodes have roles of their own.
_BUCKETS: Final = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION")


def need_ray() -> None:
    """Raise MissingExtra where the `cluster` extra is not installed."""
    if find_spec("ray") is None:
        raise MissingExtra("a cluster", "cluster")


@contextmanager
def joined(address: str) -> Iterator[None]:
    """Join the cluster at `address` for a block; leave it at the end.

    `auto` is the cluster that runs on this machine, or that RAY_ADDRESS names. A program that has
    joined one stays in it. Raises MissingExtra, ConfigError where no cluster answers, and JobError
    where it fails.
    """
    need_ray()
    import ray

    joins = not ray.is_initialized()
    if joins:
        try:
            _probe(address)
            buckets = {name: os.environ[name] for name in _BUCKETS if name in os.environ}
            ray.init(
                address, log_to_driver=False, logging_level=logging.ERROR,
                runtime_env={"env_vars": buckets} if buckets else None,
            )  # fmt: skip
        except (OSError, ValueError, RuntimeError) as cause:
            raise ConfigError(
                f"--cluster {address}: no Ray cluster answers ({_first_line(cause)}); start one "
                "with `ray start --head`, or name the address of one"
            ) from cause
    note(f"cluster: {len(ray.nodes())} nodes, {count_of('CPU')} cores, {count_of('GPU')} GPUs")
    try:
        yield
    except ray.exceptions.RayError as error:
        raise _failure_of(error) from error
    finally:
        if joins:
            ray.shutdown()


def count_of(resource: str) -> int:
    """Return how many of a resource the joined cluster has now: it may grow and shrink."""
    import ray

    return int(ray.cluster_resources().get(resource, 0))


def _probe(address: str) -> None:
    """Raise OSError or ValueError where nothing listens: Ray would try for five minutes."""
    if address == "auto":
        return
    place = urlsplit(address if "://" in address else f"ray://{address}")
    if place.hostname is None or place.port is None:
        raise ValueError("write HOST:PORT, ray://HOST:PORT or auto")
    with socket.create_connection((place.hostname, place.port), timeout=_SECONDS):
        pass


def _failure_of(error: Exception) -> HangtagError:
    """Return the error of a stage that ran on the cluster, or that of the cluster itself."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, HangtagError):
        return cause
    return JobError(
        f"the cluster failed: {_first_line(cause or error)}; run the same command again to resume"
    )


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
