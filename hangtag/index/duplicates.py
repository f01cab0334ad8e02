"""Designs that are one drawing: exact copies, other sizes and colours, flips, copies on white.

hangtag duplicates INDEX
"""

import io
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hangtag.console import track
from hangtag.dataset.config import MAX_MEGAPIXELS
from hangtag.dataset.images import Pixels, decode
from hangtag.dataset.workers import map_designs
from hangtag.errors import ImageError
from hangtag.index.backbone import OnnxBackbone
from hangtag.index.cut_out import cut_out
from hangtag.index.design_features import PACKED, store_of
from hangtag.index.feature_store import FeatureStore, digest_of, opened_store
from hangtag.index.files import CUT_OUTS, FEATURES
from hangtag.index.library_index import LibraryIndex
from hangtag.index.packed_rows import PackedRows
from hangtag.library.catalog_csv import write_csv
from hangtag.library.fingerprints import (
    FINGERPRINT_BYTES,
    fills_its_frame,
    fingerprint,
    mirrored,
    same_drawing,
)  # fmt: skip
from hangtag.library.near_duplicates import merge_groups, near_duplicate_groups
from hangtag.library.tag_text import join_tags

Prints = NDArray[np.uint8]
BATCH: Final = 256
COLUMNS: Final = (
    "group", "image", "keep", "relation", "reason", "width", "height", "bytes", "tags",
)  # fmt: skip
THUMBNAIL: Final = 24  # pixels of the square in which colours are compared
# How much wider the limits are than those of near-duplicates: a group is compared with its best.
SLACK: Final = 1.5
# Mean difference of a channel, 0 to 255, of premultiplied colours that are the same.
SAME_COLOURS: Final = 8.0


@dataclass(frozen=True, eq=False)
class Traits:
    """What speaks for or against keeping a design."""

    vector: bool
    transparent: bool
    width: int
    height: int
    bytes: int
    colours: NDArray[np.float32]
    """(THUMBNAIL, THUMBNAIL, 4), premultiplied, 0 to 255."""


@dataclass(frozen=True)
class Duplicate:
    """A design of a group that shows one drawing."""

    group: int
    image: str
    keep: bool
    relation: str
    """To the one to keep: exact copy, other size, other colours, flipped, on white, same drawing;
    empty for itself."""
    reason: str
    """Why this one is to be kept; empty for others."""
    width: int
    """Pixels; 0 for a vector drawing, which has any size."""
    height: int
    bytes: int
    tags: tuple[str, ...]
    location: str


def find_duplicates(index: LibraryIndex, *, workers: int = 0) -> list[Duplicate]:
    """Return all designs that are not the only one of their drawing, group by group.

    In each group the one to keep comes first: a vector drawing rather than pixels, then one with
    transparency, the most pixels, the most tags. Groups come in the order of the index. Nothing is
    deleted. What is computed for it is kept in the index.
    """
    prints, cut = _fingerprints(index, workers)
    groups = _groups(prints, cut)
    counts = np.bincount(groups)
    chosen = np.flatnonzero(counts[groups] > 1)
    locations = [index.designs[n].location for n in chosen.tolist()]
    read = track(
        map_designs(_traits, locations, workers=workers), "comparing copies", len(locations)
    )
    traits = {
        row: found
        for row, found in zip(chosen.tolist(), read, strict=True)
        if not isinstance(found, ImageError)
    }
    members: dict[int, list[int]] = {}
    for row in traits:
        members.setdefault(int(groups[row]), []).append(row)
    compare = _Comparison(index, traits, prints, cut)
    several = [some for rows in members.values() for some in compare.split(rows)]
    return [one for n, some in enumerate(several, start=1) for one in compare.listed(n, some)]


def _fingerprints(index: LibraryIndex, workers: int) -> tuple[Prints, Prints]:
    """Return the fingerprints of all designs, (n, FINGERPRINT_BYTES), and of those on white without
    their background: zeros for all others."""
    backbone: OnnxBackbone = index.backbone
    digests = [one.digest for one in index.designs]
    with store_of(index.folder / FEATURES, backbone) as store:
        prints = PackedRows(backbone.widths).prints(store.stored()[store.positions(digests)])
    full = np.flatnonzero(fills_its_frame(prints))
    cut = np.zeros_like(prints)
    about = {"packed_size": PACKED, "row_bytes": FINGERPRINT_BYTES}
    with opened_store(index.folder / CUT_OUTS, FINGERPRINT_BYTES, about, np.uint8) as store:
        wanted = {digests[n]: n for n in reversed(full.tolist())}
        missing = [n for digest, n in wanted.items() if digest not in store]
        locations = [index.designs[n].location for n in missing]
        found = map_designs(_cut_print, locations, workers=workers)
        batch: list[tuple[bytes, Prints]] = []
        for one in track(found, "backgrounds", len(missing)) if missing else ():
            if not isinstance(one, ImageError):
                batch.append(one)
            if len(batch) == BATCH:
                _append(store, batch)
        _append(store, batch)
        known = np.array([n for n in full.tolist() if digests[n] in store], np.int64)
        if len(known):
            rows = store.positions([digests[n] for n in known.tolist()])
            cut[known] = store.stored()[rows]
    return prints, cut


def _append(store: FeatureStore, batch: list[tuple[bytes, Prints]]) -> None:
    if batch:
        unique = {digest: row for digest, row in batch if digest not in store}
        store.append(list(unique), np.array(list(unique.values()), np.uint8))
    batch.clear()


def _cut_print(data: bytes) -> tuple[bytes, Prints]:
    found = cut_out(decode(data, PACKED, MAX_MEGAPIXELS))
    blank = np.zeros(FINGERPRINT_BYTES, np.uint8)
    return digest_of(data), blank if found is None else fingerprint(found)


def _groups(prints: Prints, cut: Prints) -> NDArray[np.int64]:
    """Return a group number per design, (n,), by all that can be seen of it: as it is, flipped,
    without its white background."""
    on_white = np.flatnonzero(cut[:, 0])
    views = np.concatenate([prints, mirrored(prints), cut[on_white], mirrored(cut[on_white])])
    design = np.concatenate([np.tile(np.arange(len(prints)), 2), np.tile(on_white, 2)])
    return merge_groups(near_duplicate_groups(views), design)[: len(prints)]


def _traits(data: bytes) -> Traits:
    pixels = decode(data, PACKED, MAX_MEGAPIXELS)
    width = height = 0
    with suppress(Exception), Image.open(io.BytesIO(data)) as image:
        width, height = image.size
    return Traits(
        vector=not width,
        transparent=bool((pixels[..., 3] < 128).any()),
        width=width,
        height=height,
        bytes=len(data),
        colours=_thumbnail(pixels),
    )


def _thumbnail(pixels: Pixels) -> NDArray[np.float32]:
    """Return the visible part of a design, premultiplied and squeezed into a small square."""
    visible = pixels[..., 3] > 7
    rows, columns = np.flatnonzero(visible.any(axis=1)), np.flatnonzero(visible.any(axis=0))
    box = pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    image = Image.fromarray(box).convert("RGBa")
    small = image.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    return np.asarray(small, np.float32)


@dataclass(frozen=True, eq=False)
class _Comparison:
    """Compares designs that may show one drawing."""

    index: LibraryIndex
    traits: dict[int, Traits]
    prints: Prints
    cut: Prints

    def split(self, rows: list[int]) -> list[list[tuple[int, str]]]:
        """Return the groups of rows that are like their best one, each with its relation to it.

        A series that changes little from one design to the next would else be one group.
        """
        order = sorted(rows, key=lambda row: (*(-value for value in self._worth(row)), row))
        found = []
        while order:
            best, *others = order
            related = [(row, self._relation(best, row)) for row in others]
            same = [(row, relation) for row, relation in related if relation]
            if same:
                found.append([(best, ""), *same])
            order = [row for row, relation in related if not relation]
        return found

    def listed(self, number: int, rows: list[tuple[int, str]]) -> list[Duplicate]:
        """Return a group as it is reported."""
        best, second = rows[0][0], rows[1][0]
        reason = _reason(self._worth(best), self._worth(second), self.traits[best])
        found = []
        for row, relation in rows:
            design, own = self.index.designs[row], self.traits[row]
            found.append(
                Duplicate(
                    number, design.image, not relation, relation, "" if relation else reason,
                    own.width, own.height, own.bytes, design.tags, design.location,
                )
            )  # fmt: skip
        return found

    def _worth(self, row: int) -> tuple[int, ...]:
        own = self.traits[row]
        tags = len(self.index.designs[row].tags)
        return int(own.vector), int(own.transparent), own.width * own.height, tags

    def _relation(self, best: int, row: int) -> str:
        """Return what a design is to the one that is kept; empty where they are not alike."""
        designs, prints, cut = self.index.designs, self.prints, self.cut
        if designs[best].digest == designs[row].digest:
            return "exact copy"
        if _same(prints[best], prints[row]):
            one, other = self.traits[best], self.traits[row]
            if np.abs(one.colours - other.colours).mean() > SAME_COLOURS:
                return "other colours"
            same_size = (one.width, one.height) == (other.width, other.height)
            return "same drawing" if same_size else "other size"
        if _same(prints[best], mirrored(prints[row][None])[0]):
            return "flipped"
        for one, other in (
            (prints[best], cut[row]), (cut[best], prints[row]), (cut[best], cut[row]),
        ):  # fmt: skip
            if _same(one, other):
                return "on white"
            if _same(one, mirrored(other[None])[0]):
                return "flipped, on white"
        return ""


def _reason(best: tuple[int, ...], second: tuple[int, ...], traits: Traits) -> str:
    size = f"the most pixels ({traits.width} x {traits.height})"
    reasons = ("a vector drawing", "transparent background", size, f"the most tags ({best[3]})")
    for mine, other, reason in zip(best, second, reasons, strict=True):
        if mine != other:
            return reason
    return "the first of equals"


def _same(one: Prints, other: Prints) -> bool:
    return bool(one[0] and other[0] and same_drawing(one[None], other[None], slack=SLACK)[0])


def write_duplicates(path: Path, found: Sequence[Duplicate]) -> None:
    """Write one row per design; `keep` is yes or empty."""
    rows = [
        (
            str(one.group), one.image, "yes" if one.keep else "", one.relation, one.reason,
            str(one.width), str(one.height), str(one.bytes), join_tags(one.tags),
        )
        for one in found
    ]  # fmt: skip
    write_csv(path, COLUMNS, rows)


def is_duplicates(path: Path) -> bool:
    """Return whether `write_duplicates` wrote a file."""
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.readline().strip() == ",".join(COLUMNS)
