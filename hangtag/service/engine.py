"""The model behind the server: designs decoded side by side, scored in batches, never more under
way than the queue allows."""

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
from hangtag.service.budget import PixelBudget
from hangtag.tagging.tagger import BATCH, Tagger, model_input

R = TypeVar("R")
# Pixels under decoding at once, as a multiple of the largest image: WebP takes 17 bytes for each
# (benchmarks/serving/memory.py), so that 25 megapixels come to 650 MB.
DECODED_AT_ONCE: Final = 1.5
MOST_SVG_WORKERS: Final = 4  # each a process of its own, of some 100 MB


class Busy(Exception):
    """The queue is full."""


class _Job(NamedTuple):
    tagger: Tagger
    pixels: Pixels
    answer: "asyncio.Future[NDArray[np.float32]]"


class Engine:
    """Scores designs. All methods but `open` run in one event loop."""

    def __init__(self, tagger: Tagger, queue: int, timeout: float, max_megapixels: float) -> None:
        """`timeout`: the most seconds that an SVG may take; `max_megapixels`: the largest image."""
        self.tagger = tagger
        self.queue = queue
        self.max_megapixels = max_megapixels
        self._budget = PixelBudget(round(DECODED_AT_ONCE * max_megapixels * 1e6))
        self.under_way = 0
        self._decoders = ThreadPoolExecutor(cores(), "decode")
        # Apart from the decoders, where a header would wait for large images that others sent; few,
        # since Pillow copies a whole WebP or AVIF to read its header.
        self._headers = ThreadPoolExecutor(2, "header")
        self._svgs = Workers(timeout, min(cores(), MOST_SVG_WORKERS))
        self._runner = ThreadPoolExecutor(1, "infer")
        self._looker = ThreadPoolExecutor(1, "look")  # its own: a look takes many batches' time
        self._waiting: list[_Job] = []
        self._batches: asyncio.Task[None] | None = None

    @classmethod
    def open(cls, model: Path, queue: int, timeout: float, max_megapixels: float) -> "Engine":
        """Open MODEL/. Raises ModelError."""
        return cls(_warm(model), queue, timeout, max_megapixels)

    def reserve(self, images: int) -> None:
        """Take places in the queue; `release` gives them back. Raises Busy, taking none."""
        if self.under_way and self.under_way + images > self.queue:
            raise Busy
        self.under_way += images

    def release(self, images: int) -> None:
        """Give places in the queue back."""
        self.under_way -= images

    async def score(self, data: bytes) -> tuple[Tagger, NDArray[np.float32]]:
        """Return the tagger that answers and its scores, float32 (T,). Raises ImageError."""
        loop, tagger = asyncio.get_running_loop(), self.tagger
        pixels = await self._input(tagger, data)
        job = _Job(tagger, pixels, loop.create_future())
        self._waiting.append(job)
        if self._batches is None or self._batches.done():
            self._batches = loop.create_task(self._run())
        return tagger, await job.answer

    async def look(self, data: bytes, tag: str) -> NDArray[np.float32]:
        """Return `Tagger.explain` of a tag. Raises ImageError; KeyError for an unknown tag."""
        loop, tagger = asyncio.get_running_loop(), self.tagger
        if tag not in tagger.vocabulary.names:
            raise KeyError(tag)
        pixels = await self._input(tagger, data)
        column = tagger.vocabulary.names.index(tag)
        return await loop.run_in_executor(self._looker, tagger.explain, pixels, column)

    async def decoded(self, function: Callable[[bytes], R], data: bytes) -> R:
        """Return `function(data)` of a design's bytes, picklable. Raises ImageError.

        Rasters take turns, so that those under decoding have a bounded number of pixels together.
        An SVG is drawn in another process: its renderer holds Python's lock, and a hostile drawing
        takes all the time there is or ends the process.
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
        """Score what waits, a batch at a time, until nothing does."""
        loop = asyncio.get_running_loop()
        while self._waiting:
            tagger = self._waiting[0].tagger
            # Jobs of another tagger wait: the model was reloaded between them.
            batch = [job for job in self._waiting if job.tagger is tagger][:BATCH]
            taken = set(map(id, batch))
            self._waiting = [job for job in self._waiting if id(job) not in taken]
            inputs = [job.pixels for job in batch]
            try:
                scores = await loop.run_in_executor(self._runner, tagger.scores, inputs)
            except Exception as error:  # told to every request of the batch, none hangs
                for job in batch:
                    if not job.answer.done():
                        job.answer.set_exception(error)
                continue
            for job, row in zip(batch, scores, strict=True):
                if not job.answer.done():  # a client that gave up cancelled it
                    job.answer.set_result(row)

    async def reload(self) -> None:
        """Take up the model folder as it lies there now; requests under way end on the old one.

        Raises ModelError, and keeps the old model, when the new one cannot be opened.
        """
        loop, path = asyncio.get_running_loop(), self.tagger.folder.path
        self.tagger = await loop.run_in_executor(None, _warm, path)

    def close(self) -> None:
        """Stop the threads and processes."""
        self._decoders.shutdown(wait=False, cancel_futures=True)
        self._headers.shutdown(wait=False, cancel_futures=True)
        self._runner.shutdown(wait=False, cancel_futures=True)
        self._looker.shutdown(wait=False, cancel_futures=True)
        self._svgs.close()


def _warm(model: Path) -> Tagger:
    """Open MODEL/ and score one blank input, so that the first request is not slow."""
    tagger = Tagger.open(model)
    size = tagger.folder.preprocessing.input_size
    tagger.scores([np.zeros((size, size, 4), np.uint8)])
    return tagger


def _header_pixels(data: bytes, limit: int) -> int | None:
    """Return the pixels of a raster image by its header alone, None where it cannot be read.

    Raises ImageError for one of over `limit` pixels.
    """
    try:
        with max_pixels(limit), Image.open(io.BytesIO(data), formats=FORMATS) as image:
            check_size(image.size, limit)
            return image.width * image.height
    except ImageError:
        raise
    except Exception:  # decoders raise anything; decoding it will say what is wrong
        return None
