"""Which library for which job: decoding, resizing with alpha, warping, PNG compression, SVG.

    python benchmarks/images.py [FOLDER] [DESIGNS]

FOLDER holds PNGs, and SVGs for that row (default designs/emoji). Interleaved runs, medians of five,
on one core. Costs about a minute. OpenCV has no premultiplied resize and no palette transparency on
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
import resvg_py
from PIL import Image

from hangtag.dataset.images import decode, encode_png, fit
from hangtag.dataset.raster.resize import resized
from hangtag.dataset.svg.drawing import drawn_without_text
from hangtag.errors import ImageError

SIZE, PACKED = 96, 256
ROUNDS = 5
WARP = np.array([[1.1, 0.1, -4.0], [-0.1, 0.95, 6.0]])


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("designs/emoji")
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 300
    files, decoded = readable(folder, "*.png", count)
    drawings, _ = readable(folder, "*.svg", count)
    drawings = [data for data in drawings if b"<text" not in data]
    cv2.setNumThreads(1)
    inputs = [fit(pixels, SIZE) for pixels in decoded]
    jpegs, webps, bare = saved(decoded, "JPEG"), saved(decoded, "WEBP"), "OpenCV decodes"
    jobs: list[tuple[str, list, str, Callable, str, Callable]] = [
        ("PNG to an input of 96 px", files, "hangtag", to_input, bare, opencv_decode),
        ("the same, JPEG", jpegs, "hangtag", to_input, bare, opencv_decode),
        ("the same, WebP", webps, "hangtag", to_input, bare, opencv_decode),
        ("decode a PNG to RGBA", files, "Pillow", pillow_decode, "OpenCV", opencv_decode),
        ("shrink, premultiplied", decoded, "cykooz", cykooz_resize, "Pillow", pillow_resize),
        ("shrink, premultiplied", decoded, "cykooz", cykooz_resize, "OpenCV", opencv_resize),
        ("warp an input of 96 px", inputs, "OpenCV", opencv_warp, "Pillow", pillow_warp),
        ("encode a PNG", decoded, "hangtag", encode_png, "Pillow, level 4", pillow_png),
        ("draw an SVG without text", drawings, "resvg", resvg_draw, "resvg-py", resvg_py_draw),
    ]  # fmt: skip
    print("| job | chosen | ms | other | ms | chosen / other |\n|---|---|---|---|---|---|")
    for name, items, chosen, ours, other, theirs in jobs:
        if not items:
            continue
        times = rounds(items, ours, theirs)
        medians = [statistics.median(one) for one in times]
        ratio = statistics.median(a / b for a, b in zip(*times, strict=True))
        print(
            f"| {name} | {chosen} | {medians[0]:.3f} | {other} | {medians[1]:.3f} | {ratio:.2f} |",
            flush=True,
        )
    for encode in (encode_png, pillow_png):
        size = sum(len(encode(pixels)) for pixels in decoded) // len(decoded)
        print(f"{encode.__name__}: {size:,} bytes per design")


def readable(folder: Path, pattern: str, count: int) -> tuple[list[bytes], list[np.ndarray]]:
    """Return some designs that can be read: the files, and their pixels as packed."""
    paths = sorted(folder.rglob(pattern))
    random.Random(0).shuffle(paths)
    files, decoded = [], []
    for path in paths:
        if len(files) == count:
            break
        try:
            decoded.append(decode(path.read_bytes(), PACKED))
        except ImageError:
            continue
        files.append(path.read_bytes())
    return files, decoded


def saved(decoded: list[np.ndarray], kind: str) -> list[bytes]:
    """Return designs in another format, twice as large as packed."""
    found = []
    for pixels in decoded:
        file, image = io.BytesIO(), Image.fromarray(pixels)
        image = image.resize((2 * image.width, 2 * image.height))
        (image.convert("RGB") if kind == "JPEG" else image).save(file, kind, quality=90)
        found.append(file.getvalue())
    return found


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


def to_input(data: bytes) -> np.ndarray:
    return fit(decode(data, PACKED), SIZE)


def cykooz_resize(pixels: np.ndarray) -> bytes:
    return resized(pixels.tobytes(), pixels.shape[1::-1], (SIZE, SIZE))


def resvg_draw(data: bytes) -> bytes:
    return drawn_without_text(data.decode())


def resvg_py_draw(data: bytes) -> bytes:
    return resvg_py.svg_to_bytes(svg_string=data.decode(), dpi=96, skip_system_fonts=True)


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


def pillow_png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=4)
    return file.getvalue()


if __name__ == "__main__":
    main()
