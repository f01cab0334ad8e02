"""The server's memory while 64 clients send the largest images that it takes, at once.

    python benchmarks/serving/memory.py MODEL --kinds webp avif png --clients 64

Starts `hangtag serve` on a free port of this machine, for each kind anew, and prints the most
resident memory that it and its worker processes had together, and the answers by status. Every
client sends one image, again after a 503, until it is answered or --seconds are over. Costs about a
minute a kind on two cores.
"""

import argparse
import asyncio
import base64
import io
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import psutil
from PIL import Image
from server import running

SIDE = 5000  # 25 megapixels, the server's default limit
PERIOD = 0.02  # seconds between two looks at the memory


def picture(noise: float = 0.0) -> Image.Image:
    """Return RGBA of 25 megapixels in flat fields, a share of them noise that does not compress."""
    rng = np.random.default_rng(1)
    fields = rng.integers(1, 256, (SIDE // 50, SIDE // 50, 4), np.uint8)
    pixels = np.kron(fields, np.ones((50, 50, 1), np.uint8))
    rows = round(noise * SIDE)
    pixels[:rows] = rng.integers(1, 256, (rows, SIDE, 4), np.uint8)
    return Image.fromarray(pixels)


def saved(image: Image.Image, name: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, name, **options)
    return file.getvalue()


def svg() -> bytes:
    """Return an SVG that embeds the largest image, twice."""
    code = base64.b64encode(saved(picture(), "PNG", compress_level=1)).decode()
    image = f'<image href="data:image/png;base64,{code}" width="9" height="9" x="{{}}"/>'
    space = "http://www.w3.org/2000/svg"
    return (
        f'<svg xmlns="{space}" viewBox="0 0 20 20">{image.format(0)}{image.format(9)}</svg>'
    ).encode()


def animation() -> bytes:
    first, second = picture(), picture().rotate(90)
    return saved(first, "WEBP", quality=50, method=0, save_all=True, append_images=[second] * 2)


KINDS: dict[str, Callable[[], bytes]] = {
    "webp": lambda: saved(picture(), "WEBP", lossless=True, quality=0, method=0),
    "webp-45mb": lambda: saved(picture(0.35), "WEBP", lossless=True, quality=0, method=0),
    "webp-animation": animation,
    "avif": lambda: saved(picture(), "AVIF", speed=10),
    "png": lambda: saved(picture(), "PNG", compress_level=1),
    "png-45mb": lambda: saved(picture(0.4), "PNG", compress_level=1),
    "tiff": lambda: saved(picture(), "TIFF", compression="tiff_deflate"),
    "jpeg": lambda: saved(picture().convert("RGB").convert("CMYK"), "JPEG", progressive=True),
    "gif": lambda: saved(picture().convert("RGB").convert("P"), "GIF"),
    "svg": svg,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=120, help="the most that a kind takes")
    options = parser.parse_args()
    print("| image | MB sent | idle MB | peak MB | seconds | answers |\n|---|---|---|---|---|---|")
    for kind in options.kinds:
        body = KINDS[kind]()
        with running(options.model, "--timeout-seconds", "600") as (process, url):
            watched = psutil.Process(process.pid)
            idle, began = resident(watched), time.monotonic()
            peak, statuses = asyncio.run(ask(url, body, watched, options.clients, options.seconds))
        print(
            f"| {kind} | {len(body) / 1e6:.1f} | {idle / 1e6:.0f} | {peak / 1e6:.0f} | "
            f"{time.monotonic() - began:.0f} | {dict(statuses.most_common())} |",
            flush=True,
        )


async def ask(
    url: str, body: bytes, process: psutil.Process, clients: int, seconds: float
) -> tuple[float, Counter[int | str]]:
    """Return the most resident bytes and how often each status was answered."""
    statuses: Counter[int | str] = Counter()

    async def client() -> None:
        headers = {"Content-Type": "image/png"}
        while True:
            try:
                answer = await session.post(f"{url}/invocations", content=body, headers=headers)
            except httpx.TransportError as error:  # refused before all was sent
                statuses[type(error).__name__] += 1
            else:
                statuses[answer.status_code] += 1
                if answer.status_code != 503:
                    return
            await asyncio.sleep(0.5)

    limits = httpx.Limits(max_connections=clients)
    session = httpx.AsyncClient(timeout=seconds, limits=limits)
    tasks = [asyncio.create_task(client()) for _ in range(clients)]
    peak, end = 0.0, time.monotonic() + seconds
    while not all(task.done() for task in tasks) and time.monotonic() < end:
        peak = max(peak, resident(process))
        await asyncio.sleep(PERIOD)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await session.aclose()
    return peak, statuses


def resident(process: psutil.Process) -> float:
    """Return the resident bytes of a process and all below it."""
    total = 0.0
    for one in (process, *process.children(recursive=True)):
        try:
            total += one.memory_info().rss
        except psutil.NoSuchProcess:  # ended meanwhile
            continue
    return total


if __name__ == "__main__":
    sys.exit(main())
