"""Near-duplicates: what is found, what is wrongly joined, and how long half a million designs take.

    python benchmarks/near_duplicates.py [--designs DIR] [--openclipart DIR] [--sheets DIR]

Recall: 500 random designs of each library are recoloured, resized and padded; found means that
the changed design is the same drawing as its original without help from others in between.
Of several concepts: designs in a group that holds more than one `group` of designs.csv. It counts
true recolours too (hearts in ten colours are ten concepts), so look at the sheets, which show the
largest groups and random mixed ones. Pairs left in different groups: missed by the search, or
parts of a long series that was cut. Takes about 15 minutes and 5 GB on two cores. Expected: recall
of sizes and paddings above 0.95 and of recolours above 0.9 in every library; half a million
fingerprints in under ten minutes.
"""

import argparse
import csv
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hangtag.dataset import images
from hangtag.errors import ImageError
from hangtag.library.fingerprints import (
    FINGERPRINT_BYTES,
    fingerprint,
    read_maps,
    same_drawing,
)
from hangtag.library.near_duplicates import near_duplicate_groups

Pixels = NDArray[np.uint8]
Change = Callable[[Pixels, np.random.Generator], Pixels]
LUMINANCE = np.array([0.299, 0.587, 0.114])
SIZES = (64, 96, 128, 256, 512)
RECOLOURS = (
    "turn hue",
    "swap channels",
    "invert",
    "tint",
    "tint, dark to light",
    "wash out",
    "darken",
)


def resized(design: Pixels, size: int, rng: np.random.Generator) -> Pixels:
    """Resize to a longest side of `size` with one of four filters."""
    scale = size / max(design.shape[:2])
    height, width = (max(1, round(side * scale)) for side in design.shape[:2])
    picture = Image.fromarray(design).convert("RGBa")
    filters = (
        Image.Resampling.BOX,
        Image.Resampling.BILINEAR,
        Image.Resampling.BICUBIC,
        Image.Resampling.LANCZOS,
    )
    return np.asarray(picture.resize((width, height), filters[rng.integers(4)]).convert("RGBA"))


def padded(design: Pixels, rng: np.random.Generator) -> Pixels:
    """Put up to half the design's size of transparency on each side."""
    height, width = design.shape[:2]
    rows, columns = rng.integers(0, height // 2 + 2, 2), rng.integers(0, width // 2 + 2, 2)
    return np.pad(design, (tuple(rows), tuple(columns), (0, 0)))


def turned(design: Pixels, rng: np.random.Generator) -> Pixels:
    """Turn the hue by 40 to 320 degrees."""
    hsv = cv2.cvtColor(design[..., :3].copy(), cv2.COLOR_RGB2HSV_FULL)
    hsv[..., 0] += np.uint8(rng.integers(28, 228))
    return np.dstack([cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL), design[..., 3]])


def recoloured(design: Pixels, colours: NDArray[np.float64]) -> Pixels:
    """Replace the colours (h, w, 3)."""
    return np.dstack([np.clip(np.rint(colours), 0, 255).astype(np.uint8), design[..., 3]])


def tinted(design: Pixels, rng: np.random.Generator, swap: bool) -> Pixels:
    """Map luminance onto a ramp between a dark and a light colour, or a light and a dark one."""
    low, high = rng.uniform(0, 90, 3), rng.uniform(160, 255, 3)
    if swap:
        low, high = high, low
    return recoloured(design, (design[..., :3] @ LUMINANCE)[..., None] / 255 * (high - low) + low)


def any_size(design: Pixels, rng: np.random.Generator) -> Pixels:
    """Pad and resize to 64 to 512 px."""
    return resized(padded(design, rng), int(rng.integers(64, 513)), rng)


def plain(design: Pixels) -> bool:
    """Say whether the design has one colour only."""
    colours = design[design[..., 3] > 32][:, :3].astype(int)
    return len(colours) > 0 and bool((np.ptp(colours, axis=0) <= 8).all())


def changes(design: Pixels) -> dict[str, Change]:
    """Return every change that makes sense for a design."""
    rgb = design[..., :3].astype(np.float64)
    found: dict[str, Change] = {
        f"resize to {size}": lambda d, rng, size=size: resized(d, size, rng) for size in SIZES
    }
    found |= {
        "pad": padded,
        "pad, resize": any_size,
        "turn hue": turned,
        "swap channels": lambda d, rng: d[..., [1, 2, 0, 3]],
        "invert": lambda d, rng: recoloured(d, 255 - rgb),
        "tint": lambda d, rng: tinted(d, rng, swap=False),
        "tint, dark to light": lambda d, rng: tinted(d, rng, swap=True),
        "wash out": lambda d, rng: recoloured(d, rgb / 2 + 127),
        "darken": lambda d, rng: recoloured(d, rgb * 0.4),
        "hue, pad, resize": lambda d, rng: any_size(turned(d, rng), rng),
        "tint, pad, resize": lambda d, rng: any_size(tinted(d, rng, bool(rng.integers(2))), rng),
    }
    if plain(design):
        found["black"] = lambda d, rng: recoloured(d, 0 * rgb)
        found["white"] = lambda d, rng: recoloured(d, 0 * rgb + 255)
    return found


def read(paths: list[Path]) -> Iterator[Pixels | None]:
    """Yield each design, 512 px at most; None for the unreadable and those above 20 megapixels."""
    for path in paths:
        try:
            yield images.decode(path.read_bytes(), 512, 20)
        except ImageError:
            yield None


def recall(designs: list[Pixels], prints: Pixels, sample: int) -> dict[str, float]:
    """Return the share of changed designs found, by change, and the time of a fingerprint."""
    rng = np.random.default_rng(0)
    kinds: list[str] = []
    origins: list[int] = []
    changed: list[Pixels] = []
    for index in rng.permutation(len(designs))[:sample]:
        for kind, change in changes(designs[index]).items():
            kinds.append(kind)
            origins.append(int(index))
            changed.append(fingerprint(change(designs[index], rng)))
    rows = np.stack(changed)
    original = prints[origins]
    found = same_drawing(original, rows) | (original == rows).all(axis=1)
    return {kind: float(found[[k == kind for k in kinds]].mean()) for kind in dict.fromkeys(kinds)}


def groups_of(labels: NDArray[np.int64]) -> list[NDArray[np.intp]]:
    """Return the members of each group of two or more, largest group first."""
    order = np.argsort(labels, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
    return sorted((g for g in groups if len(g) > 1), key=len, reverse=True)


def left_apart(prints: Pixels, labels: NDArray[np.int64]) -> tuple[int, int]:
    """Compare all pairs that can be near-duplicates: how many are, and how many of these are in
    different groups."""
    seen = np.flatnonzero(prints[:, 0])
    kinds, labels = prints[seen], labels[seen]
    maps = read_maps(kinds).reshape(len(kinds), -1)
    squares = (maps**2).sum(axis=1)
    pairs = apart = 0
    for i in range(0, len(kinds), 500):
        part = slice(i, i + 500)
        distances = squares[part, None] + squares - 2 * maps[part] @ maps.T
        one, other = np.nonzero(distances < 12)
        one, other = one[one + i < other] + i, other[one + i < other]
        for j in range(0, len(one), 4096):
            a, b = one[j : j + 4096], other[j : j + 4096]
            same = same_drawing(kinds[a], kinds[b])
            pairs += int(same.sum())
            apart += int((same & (labels[a] != labels[b])).sum())
    return pairs, apart


def sheet(
    designs: list[Pixels], groups: list[NDArray[np.intp]], path: Path, cell: int = 80
) -> None:
    """Draw one group per row, twelve members of each."""
    picture = Image.new("RGB", (12 * cell, len(groups) * cell), (205, 205, 215))
    for row, group in enumerate(groups):
        step = max(1, len(group) // 12)
        for column, index in enumerate(group[::step][:12]):
            design = Image.fromarray(designs[index]).convert("RGBa")
            design.thumbnail((cell - 4, cell - 4))
            corner = column * cell + 2, row * cell + 2
            picture.paste(design.convert("RGB"), corner, design.getchannel("a"))
    picture.save(path)


def measure(
    name: str, paths: list[Path], concepts: list[str], options: argparse.Namespace
) -> Pixels:
    """Print what is found in one library; return its fingerprints."""
    pairs = [(d, c) for d, c in zip(read(paths), concepts, strict=True) if d is not None]
    designs, concepts = [d for d, _ in pairs], [c for _, c in pairs]
    start = time.process_time()
    prints = np.stack([fingerprint(design) for design in designs])
    each = (time.process_time() - start) / len(designs) * 1000
    print(f"\n{name}: {len(designs)} designs, {len(paths) - len(designs)} left out")
    print(f"  {'a fingerprint':24} {each:.2f} ms")
    shares = recall(designs, prints, options.sample)
    for kind, share in shares.items():
        print(f"  {kind:24} {share:.3f}")
    for what, kinds in (("all sizes, paddings", list(shares)[:7]), ("all recolours", RECOLOURS)):
        print(f"  {what:24} {np.mean([shares[kind] for kind in kinds]):.3f}")
    labels = near_duplicate_groups(prints)
    groups = groups_of(labels)
    inside = sum(len(g) for g in groups)
    print(f"  {'groups of two or more':24} {len(groups)} with {inside} designs")
    print(f"  {'largest':24} {[len(g) for g in groups[:8]]}")
    pairs, apart = left_apart(prints, labels)
    print(f"  {'near-duplicate pairs':24} {pairs}, {apart} of them left in different groups")
    shown = [("largest", groups[:24])]
    if any(concepts):
        mixed = [g for g in groups if len({concepts[i] for i in g}) > 1]
        share = sum(len(g) for g in mixed) / len(designs)
        print(f"  {'of several concepts':24} {len(mixed)} with {share:.2%} of the designs")
        rng = np.random.default_rng(0)
        shown.append(("mixed", [mixed[i] for i in rng.permutation(len(mixed))[:24]]))
    if options.sheets:
        for kind, chosen in shown:
            sheet(designs, chosen, options.sheets / f"{name}-{kind}.png")
    return prints


def scale(prints: Pixels, count: int) -> None:
    """Time `near_duplicate_groups` on `count` fingerprints bred from real ones.

    A fifth are near-duplicates.

    A new design takes each byte column of its maps from one of two random parents in runs of 32;
    a near-duplicate differs from its original by one step in a twentieth of the cells.
    """
    rng = np.random.default_rng(0)
    prints = prints[prints[:, 0] > 0]
    fresh = count * 4 // 5
    parents = rng.integers(0, len(prints), (2, fresh))
    rows = np.empty((count, FINGERPRINT_BYTES), np.uint8)
    runs = np.arange(FINGERPRINT_BYTES) // 32
    for i in range(0, fresh, 10_000):
        one, other = prints[parents[0, i : i + 10_000]], prints[parents[1, i : i + 10_000]]
        pick = rng.random((len(one), runs[-1] + 1)) < 0.5
        rows[i : i + len(one)] = np.where(pick[:, runs], one, other)
    origins = rng.integers(0, fresh, count - fresh)
    rows[fresh:] = rows[origins]
    nudged = rng.random((count - fresh, 512)) < 0.05
    maps = rows[fresh:, -512:]
    maps += np.where(nudged & (maps & 15 < 14), 1, 0).astype(np.uint8)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start, busy = time.perf_counter(), time.process_time()
    labels = near_duplicate_groups(rows)
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    found = (labels[fresh:] == labels[origins]).mean()
    print(f"\n{count} fingerprints: {seconds:.0f} s ({busy:.0f} s of processor time),")
    print(f"  {grown / 1024:.0f} MB above the highest use before")
    print(
        f"  near-duplicates found {found:.4f}, "
        f"largest groups {np.sort(np.bincount(labels))[:-6:-1]}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--designs", type=Path, default=Path("designs"))
    parser.add_argument("--openclipart", type=Path, default=Path("/usr/share/openclipart/png"))
    parser.add_argument("--sheets", type=Path, help="folder for pictures of the groups")
    parser.add_argument("--sample", type=int, default=500, help="designs changed per library")
    parser.add_argument("--scale", type=int, default=500_000, help="fingerprints in the long run")
    options = parser.parse_args()
    if options.sheets:
        options.sheets.mkdir(parents=True, exist_ok=True)
    prints = []
    for name in ("emoji", "icons"):
        with (options.designs / name / "designs.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        paths = [options.designs / name / row["image"] for row in rows]
        prints.append(measure(name, paths, [row["group"] for row in rows], options))
    paths = sorted(options.openclipart.rglob("*.png"))
    prints.append(measure("openclipart", paths, [""] * len(paths), options))
    scale(np.concatenate(prints), options.scale)


if __name__ == "__main__":
    main()
