"""The engine's bounds: how large an image may be, and how many pixels are decoded at once."""

import asyncio
import base64
import io
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from hangtag.errors import ImageError
from hangtag.service.budget import PixelBudget
from hangtag.service.engine import Engine


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run to the end, in a thread of its own: the browser of other tests may have a loop here."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, coroutine).result()


@pytest.fixture
def engine(work: Path) -> Iterator[Callable[[float], Engine]]:
    opened: list[Engine] = []

    def begin(max_megapixels: float) -> Engine:
        opened.append(Engine.open(work / "model", 64, 30, max_megapixels))
        return opened[-1]

    yield begin
    for one in opened:
        one.close()


def image(width: int, height: int, name: str = "PNG", mode: str = "RGBA") -> bytes:
    file = io.BytesIO()
    Image.new(mode, (width, height), "red" if mode != "P" else 1).save(file, name)
    return file.getvalue()


KINDS = (("PNG", "RGBA"), ("JPEG", "RGB"), ("WEBP", "RGBA"), ("GIF", "P"), ("TIFF", "RGBA"),
         ("BMP", "RGB"), ("AVIF", "RGB"))  # fmt: skip


@pytest.mark.parametrize(("name", "mode"), KINDS)
def test_an_image_over_the_limit_is_not_decoded(
    engine: Callable[[float], Engine], name: str, mode: str
) -> None:
    bounded, decoded = engine(0.01), []

    async def main() -> None:
        await bounded.decoded(decoded.append, image(100, 100, name, mode))
        with pytest.raises(
            ImageError, match=r"0\.1 megapixels.*limit of 0\.01.*--max-megapix"
        ) as e:
            await bounded.decoded(decoded.append, image(500, 200, name, mode))
        assert e.value.reason == "too-large"

    run(main())
    assert len(decoded) == 1


def test_the_limit_holds_for_what_an_svg_embeds(engine: Callable[[float], Engine]) -> None:
    bounded = engine(0.01)
    code = base64.b64encode(image(500, 200)).decode()
    embedded = f'<image width="9" height="9" href="data:image/png;base64,{code}"/>'
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9">{embedded}</svg>'

    async def main() -> None:
        with pytest.raises(ImageError, match="megapixels"):
            await bounded.score(svg.encode())

    run(main())


def test_the_models_own_limit_holds_where_it_is_lower(
    engine: Callable[[float], Engine],
) -> None:
    generous = engine(25)
    folder = generous.tagger.folder
    lower = replace(folder.preprocessing, max_megapixels=0.01)
    generous.tagger.folder = replace(folder, preprocessing=lower)

    async def main() -> None:
        with pytest.raises(ImageError, match="megapixels"):
            await generous.score(image(500, 200))

    run(main())


@pytest.mark.parametrize("hidden", [b"<svg ", b""])
def test_few_large_images_are_decoded_at_once_and_small_ones_pass_them(
    engine: Callable[[float], Engine], hidden: bytes
) -> None:
    """Also those that look like an SVG: a PNG may hold anything in its metadata."""
    bounded, lock = engine(0.1), threading.Lock()
    under_way, most, order = 0, 0, []
    large, small = image(300, 300) + hidden, image(30, 30) + hidden

    def decode(data: bytes) -> None:
        nonlocal under_way, most
        pixels = 90_000 if data == large else 900
        with lock:
            under_way += pixels
            most = max(most, under_way)
        time.sleep(0.05 if data == large else 0)
        with lock:
            under_way -= pixels
            order.append(pixels)

    async def main() -> None:
        sent = [large] * 8 + [small] * 8
        await asyncio.gather(*(bounded.decoded(decode, data) for data in sent))

    run(main())
    assert len(order) == 16
    assert most <= 150_000
    assert order.index(900) < 3  # not behind all the large ones


def test_what_a_cancelled_request_holds_or_waits_for_is_given_back() -> None:
    async def main() -> None:
        budget = PixelBudget(10)

        async def hold(pixels: int, until: asyncio.Event) -> None:
            async with budget.taken(pixels):
                await until.wait()

        go = asyncio.Event()
        held, waits, late = (asyncio.create_task(hold(size, go)) for size in (7, 5, 99))
        await asyncio.sleep(0)
        assert budget.free == 3
        waits.cancel()
        held.cancel()  # now the last one has its turn, with all there is
        async with asyncio.timeout(60):
            while budget.free:
                await asyncio.sleep(0)
        waiting = asyncio.create_task(hold(1, go))
        await asyncio.sleep(0)
        go.set()
        await asyncio.gather(late, waiting)
        # Cancelled in the very moment in which it got its turn.
        go.clear()
        held, waits = (asyncio.create_task(hold(size, go)) for size in (10, 10))
        await asyncio.sleep(0)
        held.cancel()
        await asyncio.sleep(0)
        waits.cancel()
        await asyncio.gather(held, waits, return_exceptions=True)
        assert budget.free == 10

    run(main())
