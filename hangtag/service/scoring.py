"""Images of requests, scored within the queue and the time that the configuration gives."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, Counter, Gauge

from hangtag.errors import ImageError
from hangtag.service.config import RETRY_SECONDS, ServeConfig
from hangtag.service.engine import Busy, Engine
from hangtag.service.errors import ApiError
from hangtag.tagging.tagger import Tagger


@dataclass(frozen=True, eq=False)
class Scored:
    """The scores of an image, float32 (T,), and the tagger that gave them."""

    tagger: Tagger
    scores: NDArray[np.float32]


class Scoring:
    """Scores images through the engine, and counts them."""

    def __init__(self, engine: Engine, config: ServeConfig, registry: CollectorRegistry) -> None:
        self._engine, self._config = engine, config
        self._tagged = Counter("hangtag_images", "Images tagged.", registry=registry)
        self._rejected = Counter(
            "hangtag_images_rejected", "Images rejected.", ("reason",), registry=registry
        )
        self._in_progress = Gauge(
            "hangtag_under_way", "Images in progress.", registry=registry,
            multiprocess_mode="livesum",
        )  # fmt: skip

    async def score_all(self, images: Sequence[bytes]) -> list[Scored | ImageError]:
        """Return the scores of every image, or why it cannot be decoded.

        Raises ApiError when the queue is full or the time is over.
        """
        self._reserve(len(images))
        tasks = [asyncio.ensure_future(self._engine.score(data)) for data in images]
        await self._in_time(tasks)
        answers: list[Scored | ImageError] = []
        for task in tasks:
            error = task.exception()
            if isinstance(error, ImageError):
                self._rejected.labels(error.reason).inc()
                answers.append(error)
            else:
                answers.append(Scored(*task.result()))
                self._tagged.inc()
        return answers

    async def look(self, image: bytes, tag: str) -> NDArray[np.float32]:
        """Return `Tagger.look` of a tag. Raises what `score_all` raises, ImageError, KeyError."""
        self._reserve(1)
        task = asyncio.ensure_future(self._engine.look(image, tag))
        await self._in_time([task])
        return task.result()

    def _reserve(self, images: int) -> None:
        try:
            self._engine.reserve(images)
        except Busy:
            raise ApiError(
                503, "busy",
                f"the queue of {self._config.queue} images is full; try again in a moment",
                {"Retry-After": str(RETRY_SECONDS)},
            ) from None  # fmt: skip
        self._in_progress.set(self._engine.under_way)

    async def _in_time(self, tasks: "Sequence[asyncio.Future[Any]]") -> None:
        """Wait for tasks, each with one reservation, until the timeout."""
        # A late image is still decoded in its thread, and keeps its reservation until it ends.
        for task in tasks:
            task.add_done_callback(self._ended)
        _, late = await asyncio.wait(tasks, timeout=self._config.timeout_seconds)
        if late:
            raise ApiError(
                503, "too-slow", f"took over {self._config.timeout_seconds:g} seconds",
                {"Retry-After": str(RETRY_SECONDS)},
            )  # fmt: skip

    def _ended(self, task: "asyncio.Future[Any]") -> None:
        self._engine.release(1)
        self._in_progress.set(self._engine.under_way)
        if not task.cancelled():
            task.exception()  # marks it as retrieved: nobody else does when it is late
