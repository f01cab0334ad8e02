"""Which library for which job: decoding, alpha-correct resizing, warping, PNG compression.

    python benchmarks/images.py [FOLDER] [DESIGNS]

FOLDER holds PNGs (default designs/emoji). Interleaved runs, medians of five, on one
core. Costs about half a minute. OpenCV has no premultiplied resize and no palette transparency on
its own: what it takes to do both right is part of its time. Prints a table.
"""

import io
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from hangtag.dataset.images import decode, encode_png, fit

SIZE = 96
ROUNDS = 5
WARP = np.array([[1.1, 0.1, -4.0], [-0.1, 0.95, 6.0]])


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("designs/emoji")
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 300
    paths = sorted(folder.rglob("*.png"))
    random.Random(0).shuffle(paths)
    files = [path.read_bytes() for path in paths[:count]]
    cv2.setNumThreads(1)
    decoded = [decode(data, 256) for data in files]
    inputs = [fit(pixels, SIZE) for pixels in decoded]
    jobs: list[tuple[str, list, Callable, Callable]] = [
        ("decode to RGBA", files, pillow_decode, opencv_decode),
        ("resize, premultiplied", decoded, pillow_resize, opencv_resize),
        ("warp an input of 96 px", inputs, pillow_warp, opencv_warp),
    ]
    print("| job | Pillow ms | OpenCV ms | Pillow / OpenCV |\n|---|---|---|---|")
    for name, inputs, pillow, opencv in jobs:
        times = rounds(inputs, pillow, opencv)
        ours, theirs = (statistics.median(t) for t in times)
        ratio = statistics.median(a / b for a, b in zip(*times, strict=True))
        print(f"| {name} | {ours:.3f} | {theirs:.3f} | {ratio:.2f} |", flush=True)
    print("\n| PNG level | ms | bytes per design |\n|---|---|---|")
    for level in (1, 4, 6, 9):
        start = time.perf_counter()
        size = sum(len(png(pixels, level)) for pixels in decoded)
        print(
            f"| {level} | {(time.perf_counter() - start) / count * 1e3:.2f} | {size // count:,} |"
        )
    assert png(decoded[0], 4) == encode_png(decoded[0])


def rounds(inputs: list, *functions: Callable) -> list[list[float]]:
    """Return, for each function, milliseconds per input of every round."""
    found: list[list[float]] = [[] for _ in functions]
    for _ in range(ROUNDS):
        for times, function in zip(found, functions, strict=True):
            start = time.perf_counter()
            for item in inputs:
                function(item)
            times.append((time.perf_counter() - start) / len(inputs) * 1e3)
    return found


def pillow_decode(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGBA"))


def opencv_decode(data: bytes) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    return (
        image
        if image.ndim == 3 and image.shape[2] == 4
        else cv2.cvtColor(image, cv2.COLOR_BGR2BGRA)
    )


def pillow_resize(pixels: np.ndarray) -> np.ndarray:
    image = Image.fromarray(pixels).convert("RGBa")
    return np.asarray(image.resize((SIZE, SIZE), Image.Resampling.HAMMING))


def opencv_resize(pixels: np.ndarray) -> np.ndarray:
    premultiplied = pixels.copy()
    scale = pixels[..., 3:].astype(np.float32) / 255
    premultiplied[..., :3] = np.rint(pixels[..., :3] * scale)
    return cv2.resize(premultiplied, (SIZE, SIZE), interpolation=cv2.INTER_AREA)


def pillow_warp(pixels: np.ndarray) -> np.ndarray:
    image = Image.fromarray(pixels, "RGBA")
    matrix = tuple(cv2.invertAffineTransform(WARP).ravel())
    warped = image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
    return np.asarray(warped)


def opencv_warp(pixels: np.ndarray) -> np.ndarray:
    return cv2.warpAffine(pixels, WARP, (SIZE, SIZE), flags=cv2.INTER_LINEAR)


def png(pixels: np.ndarray, level: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=level)
    return file.getvalue()


if __name__ == "__main__":
    main()
