"""Compare hangtag's SVG renderings with a browser's, or with reference PNGs beside the drawings.

    python benchmarks/svg_browser.py FOLDER [--size 128] [--limit 500] [--out differing/]
    python benchmarks/svg_browser.py FOLDER --reference png

The browser is headless Chromium (Playwright's own, or --browser /usr/bin/chromium); each drawing is
shown in an <img>, without network. Both pictures are compared premultiplied and at half the size,
so that antialiasing does not count; a drawing differs where over --tolerance of its pixels are off
by more than 32 levels. Prints a table per subfolder, the drawings that differ, and with --out
writes the pair of each side by side. 1,000 drawings take some three minutes on two cores; the
whole ends after --minutes.
"""

import argparse
import base64
import io
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Error as BrowserError
from playwright.sync_api import Page, sync_playwright

from hangtag.dataset import images
from hangtag.errors import ImageError

BATCH = 40  # drawings per page
COLUMNS = 8
LEVELS = 32
PAGE_SECONDS = 20
_SHOW = """urls => Promise.all([...document.images].map((image, index) => {
  image.src = urls[index];
  return image.decode().then(() => true, () => false);
}))"""

Picture = NDArray[np.uint8] | None  # (h, w, 4), straight alpha; None: not drawn


def main() -> None:
    """Compare the drawings of a folder and print the table."""
    options = _options()
    files = sorted(path for path in options.folder.rglob("*.svg*") if path.suffix != ".png")
    if options.limit:
        files = files[:: max(1, len(files) // options.limit)][: options.limit]
    end = time.monotonic() + 60 * options.minutes
    pairs = _beside(files, options.size) if options.reference else _browsed(files, options, end)
    results: dict[Path, str] = {}
    for path, ours, theirs in pairs:
        results[path] = _verdict(ours, theirs, options.tolerance)
        if options.out and results[path] != "same":
            name = "+".join(path.relative_to(options.folder).with_suffix(".png").parts)
            _write_pair(options.out / name, ours, theirs)
        if time.monotonic() > end:
            break
    _print_table(results, options.folder)
    if len(results) < len(files):
        print(f"stopped after {options.minutes} minutes: {len(results)} of {len(files)} drawings")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, default=128, help="longest side in pixels")
    parser.add_argument("--limit", type=int, help="compare so many, evenly spread over the folder")
    parser.add_argument(
        "--tolerance", type=float, default=0.01, help="share of pixels that may differ"
    )
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--reference", choices=["png"], help="PNGs beside the drawings, no browser")
    parser.add_argument(
        "--browser", help="path of a Chromium; default: the one Playwright installed"
    )
    parser.add_argument("--out", type=Path, help="folder for pictures of those that differ")
    return parser.parse_args()


def _ours(path: Path, size: int) -> Picture:
    try:
        return images.decode(path.read_bytes(), size)
    except ImageError:
        return None


def _beside(files: list[Path], size: int) -> Iterator[tuple[Path, Picture, Picture]]:
    for path in files:
        reference = path.with_suffix(".png")
        if reference.exists():
            try:
                theirs = images.decode(reference.read_bytes(), size)
            except ImageError:  # blank
                theirs = None
            # The reference has a size of its own; both are compared at the smaller one.
            yield (
                path,
                _ours(path, min(size, max(theirs.shape[:2])) if theirs is not None else size),
                theirs,
            )


def _browsed(
    files: list[Path], options: argparse.Namespace, end: float
) -> Iterator[tuple[Path, Picture, Picture]]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=options.browser, args=["--no-sandbox", "--force-color-profile=srgb"]
        )
        try:
            context = browser.new_context(offline=True)
            for start in range(0, len(files), BATCH):
                batch = [(path, _ours(path, options.size)) for path in files[start : start + BATCH]]
                drawn = _shown(context.new_page(), batch, options.size)
                for (path, ours), theirs in zip(batch, drawn, strict=True):
                    yield path, ours, theirs
                if time.monotonic() > end:
                    return
        finally:
            browser.close()


def _shown(page: Page, batch: list[tuple[Path, Picture]], size: int) -> list[Picture]:
    """Return what the browser draws, each in a cell of `size` pixels and at our aspect ratio."""
    sides = [ours.shape[1::-1] if ours is not None else (size, size) for _, ours in batch]
    cells = "".join(
        f'<img style="left:{index % COLUMNS * size}px;top:{index // COLUMNS * size}px;'
        f'width:{width}px;height:{height}px">'
        for index, (width, height) in enumerate(sides)
    )
    page.set_default_timeout(PAGE_SECONDS * 1000)
    page.set_viewport_size({"width": COLUMNS * size, "height": -(-len(batch) // COLUMNS) * size})
    page.set_content(f"<style>body{{margin:0}}img{{position:absolute}}</style>{cells}")
    urls = [
        "data:image/svg+xml;base64," + base64.b64encode(path.read_bytes()).decode()
        for path, _ in batch
    ]
    try:
        shown = page.evaluate(_SHOW, urls)
        screen = Image.open(io.BytesIO(page.screenshot(omit_background=True))).convert("RGBA")
    except BrowserError as cause:
        print(
            f"{len(batch)} drawings from {batch[0][0]} on not shown: {str(cause).splitlines()[0]}"
        )
        shown, screen = [False] * len(batch), Image.new("RGBA", (1, 1))
    page.close()
    pictures: list[Picture] = []
    for index, (width, height) in enumerate(sides):
        left, top = index % COLUMNS * size, index // COLUMNS * size
        cell = np.array(screen.crop((left, top, left + width, top + height)))
        pictures.append(cell if shown[index] and cell[..., 3].any() else None)
    return pictures


def _verdict(ours: Picture, theirs: Picture, tolerance: float) -> str:
    if ours is None or theirs is None:
        return "same" if ours is theirs else "hangtag only" if theirs is None else "missing"
    if ours.shape != theirs.shape:
        return "other size"
    difference = np.abs(_halved(ours) - _halved(theirs)).max(axis=-1)
    return "same" if (difference > LEVELS).mean() <= tolerance else "differs"


def _halved(picture: NDArray[np.uint8]) -> NDArray[np.int16]:
    return np.asarray(Image.fromarray(picture).convert("RGBa").reduce(2)).astype(np.int16)


def _write_pair(path: Path, ours: Picture, theirs: Picture) -> None:
    """Write ours on the left and theirs on the right, over grey."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sides = [Image.fromarray(side) for side in (ours, theirs) if side is not None]
    width, height = (max(side.size[axis] for side in sides) for axis in (0, 1))
    sheet = Image.new("RGBA", (2 * width + 8, height), "#bbb")
    for left, picture in ((0, ours), (width + 8, theirs)):
        if picture is not None:
            sheet.alpha_composite(Image.fromarray(picture), (left, 0))
    sheet.convert("RGB").save(path)


def _print_table(results: dict[Path, str], folder: Path) -> None:
    verdicts = ("same", "differs", "other size", "missing", "hangtag only")
    groups: dict[str, list[str]] = {}
    for path, verdict in results.items():
        parts = path.relative_to(folder).parts
        groups.setdefault(parts[0] if len(parts) > 1 else ".", []).append(verdict)
    groups["all"] = list(results.values())
    print(f"{'':24}" + "".join(f"{verdict:>14}" for verdict in verdicts))
    for group, found in groups.items():
        print(f"{group:24}" + "".join(f"{found.count(verdict):14,}" for verdict in verdicts))
    for path, verdict in results.items():
        if verdict != "same":
            print(f"{verdict:14} {path.relative_to(folder)}")


if __name__ == "__main__":
    main()
