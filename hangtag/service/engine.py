"""The model behind the server: decodes designs in parallel and scores them in batches."""

import asyncio
import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hangtag.dataset.images import Pixels
from hangtag.dataset.raster.decoder import FORMATS
from hangtag.dataset.raster.pixel_limit import check_size, max_pixels
from hangtag.dataset.svg.drawing import is_svg
from hangtag.dataset.workers import Workers, cores
from hangtag.errors import ImageError
from hangtag.processes import give_back_freed_memory
from hangtag.service.budget import PixelBudget
from hangtag.tagging.precision import Asked
from hangtag.tagging.tagger import BATCH, Tagger, model_input

R = TypeVar("R")
# Pixels decoded at a time, as a multiple of the largest image: WebP takes 17 bytes for each
# (benchmarks/serving/memory.py), so that 25 megapixels come to 650 MB.
DECODED_AT_ONCE: Final = 1.5
MOST_SVG_WORKERS: Final = 4  # each a process of about 100 MB


class Busy(Exception):
    """The queue is full."""


class _Job(NamedTuple):
    tagger: Tagger
    pixels: Pixels
    answer: "asyncio.Future[NDArray[np.float32]]"


class Engine:
    """Scores designs. All methods but `open` run in one event loop."""

    def __init__(
        self, tagger: Tagger, queue: int, timeout: float, max_megapixels: float, threads: int = 0
    ) -> None:
        """`timeout`: the most seconds that an SVG may take; `max_megapixels`: the largest image.

        `threads`: how many decode, and at most how many processes draw SVGs; 0 is one for each
        core.
        """
        self.threads = threads
        threads = threads or cores()
        self.tagger = tagger
        self.queue = queue
        self.max_megapixels = max_megapixels
        self._budget = PixelBudget(round(DECODED_AT_ONCE * max_megapixels * 1e6))
        self.under_way = 0
        self._decoders = ThreadPoolExecutor(threads, "decode")
        # Apart from the decoders, where a header would wait for other clients' large images; only
        # two, because Pillow copies a whole WebP or AVIF to read its header.
        self._headers = ThreadPoolExecutor(2, "header")
        self._svgs = Workers(timeout, min(threads, MOST_SVG_WORKERS))
        self._runner = ThreadPoolExecutor(1, "infer")
        self._looker = ThreadPoolExecutor(
            1, "look"
        )  # its own: a look takes as long as many batches
        self._waiting: list[_Job] = []
        self._batches: asyncio.Task[None] | None = None

    @classmethod
    def open(
        cls, model: Path, queue: int, timeout: float, max_megapixels: float,
        threads: int = 0, asked: Asked = "auto",
    ) -> "Engine":  # fmt: skip
        """Open MODEL/; `threads` is for decoding and the network. Raises ModelError.

        For `asked` see `ModelFolder.precision`. From here on this process gives back the memory of
        large images.
        """
        give_back_freed_memory()
        return cls(_warm(model, threads, asked), queue, timeout, max_megapixels, threads)

    def reserve(self, images: int) -> None:
        """Reserve places in the queue, until `release`. Raises Busy, reserving none."""
        if self.under_way and self.under_way + images > self.queue:
            raise Busy
        self.under_way += images

    def release(self, images: int) -> None:
        """Release places in the queue."""
        self.under_way -= images

    async def score(self, data: bytes) -> tuple[Tagger, NDArray[np.float32]]:
        """Return the tagger in use and its scores, float32 (T,). Raises ImageError."""
        loop, tagger = asyncio.get_running_loop(), self.tagger
        pixels = await self._input(tagger, data)
        job = _Job(tagger, pixels, loop.create_future())
        self._waiting.append(job)
        if self._batches is None or self._batches.done():
            self._batches = loop.create_task(self._run())
        return tagger, await job.answer

    async def look(self, data: bytes, tag: str) -> NDArray[np.float32]:
        """Return `Tagger.explain` of a tag. Raises ImageError, and KeyError for an unknown tag."""
        loop, tagger = asyncio.get_running_loop(), self.tagger
        if tag not in tagger.vocabulary.names:
            raise KeyError(tag)
        pixels = await self._input(tagger, data)
        column = tagger.vocabulary.names.index(tag)
        return await loop.run_in_executor(self._looker, tagger.explain, pixels, column)

    async def decoded(self, function: Callable[[bytes], R], data: bytes) -> R:
        """Return `function(data)` of a design's bytes. Raises ImageError.

        Raster images share a pixel budget, which bounds the memory. An SVG is rendered in another
        process: the renderer holds the GIL, and a hostile drawing can stall or crash the process;
        the function must be picklable.
        """
        loop = asyncio.get_running_loop()
        limit = round(self.max_megapixels * 1e6)
        pixels = await loop.run_in_executor(self._headers, _header_pixels, data, limit)
        if pixels is None and is_svg(data):
            return await self._svgs.call(function, data)
        async with self._budget.taken(limit if pixels is None else pixels):
            return await loop.run_in_executor(self._decoders, function, data)

    async def _input(self, tagger: Tagger, data: bytes) -> Pixels:
        trained = tagger.folder.preprocessing
        limit = min(trained.max_megapixels, self.max_megapixels)
        function = partial(model_input, preprocessing=replace(trained, max_megapixels=limit))
        return await self.decoded(function, data)

    async def _run(self) -> None:
        """Score waiting designs, a batch at a time, until there are none."""
        loop = asyncio.get_running_loop()
        while self._waiting:
            tagger = self._waiting[0].tagger
            # Jobs of another tagger wait for their own batch: the model was reloaded in between.
            batch = [job for job in self._waiting if job.tagger is tagger][:BATCH]
            taken = set(map(id, batch))
            self._waiting = [job for job in self._waiting if id(job) not in taken]
            inputs = [job.pixels for job in batch]
            try:
                scores = await loop.run_in_executor(self._runner, tagger.scores, inputs)
            except Exception as error:  # every request of the batch gets it; none hangs
                for job in batch:
                    if not job.answer.done():
                        job.answer.set_exception(error)
                continue
            for job, of_job in zip(batch, scores, strict=True):
                if not job.answer.done():  # cancelled when the client gave up
                    job.answer.set_result(of_job)

    async def reload(self) -> None:
        """Load the changed model folder; requests in progress end on the old model.

        Raises ModelError, and keeps the old model, when the new one cannot be opened.
        """
        loop, folder = asyncio.get_running_loop(), self.tagger.folder
        self.tagger = await loop.run_in_executor(
            None, _warm, folder.path, self.threads, folder.asked
        )

    def close(self) -> None:
        """Stop the threads and processes."""
        self._decoders.shutdown(wait=False, cancel_futures=True)
        self._headers.shutdown(wait=False, cancel_futures=True)
        self._runner.shutdown(wait=False, cancel_futures=True)
        self._looker.shutdown(wait=False, cancel_futures=True)
        self._svgs.close()


def _warm(model: Path, threads: int, asked: Asked) -> Tagger:
    """Open MODEL/ and score one blank input, so that the first request is quick."""
    tagger = Tagger.open(model, threads, asked)
    size = tagger.folder.preprocessing.input_size
    tagger.scores([np.zeros((size, size, 4), np.uint8)])
    return tagger


def _header_pixels(data: bytes, limit: int) -> int | None:
    """Return how many pixels a raster image's header declares; None for an unreadable header.

    Raises ImageError for more than `limit`.
    """
    try:
        with max_pixels(limit), Image.open(io.BytesIO(data), formats=FORMATS) as image:
            check_size(image.size, limit)
            return image.width * image.height
    except ImageError:
        raise
    except Exception:  # decoders raise anything; decoding will report what is wrong
        return None
