"""An index of a library, built or brought up to date: only new and changed designs are computed.

hangtag index LIBRARY INDEX
"""

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hangtag.console import note, track
from hangtag.dataset.config import MAX_MEGAPIXELS
from hangtag.dataset.images import decode
from hangtag.dataset.workers import map_designs
from hangtag.errors import CatalogError, ConfigError, ImageError
from hangtag.index.backbone import Backbone, OnnxBackbone
from hangtag.index.design_features import PACKED, add_missing, digests_of, readable, store_of
from hangtag.index.feature_store import FeatureStore
from hangtag.index.files import (
    COLOURS,
    CONTENT,
    DESIGNS,
    FEATURES,
    FORMAT,
    INDEX_FILE,
    MARK,
    PROJECTION,
    REJECTED,
    SCORES,
    STYLE,
)  # fmt: skip
from hangtag.index.model_graph import ModelGraph
from hangtag.index.packed_rows import PackedRows
from hangtag.index.projection import FITTED, Projection
from hangtag.index.scores import ROWS, Contents, Scores, TaughtTags
from hangtag.index.table import Indexed, read_library, read_table, write_table
from hangtag.library.catalog_csv import write_csv
from hangtag.storage.files import atomic_path, read_object, write_text
from hangtag.storage.locks import only_writer

SEED: Final = 0


@dataclass(frozen=True)
class IndexSummary:
    """What an update of an index found."""

    designs: int
    """Designs in the index."""
    computed: int
    """Contents whose features were computed now."""
    renamed: int
    """Designs that were moved or renamed since the last time, recognised by their content."""
    removed: int
    """Designs that have left."""
    rejected: dict[str, int]
    """Designs that cannot be read, per reason."""


def build_index(
    library: Path,
    folder: Path,
    *,
    model: Path | None = None,
    taught: TaughtTags | None = None,
    workers: int = 0,
) -> IndexSummary:
    """Index a catalog or a folder of designs; the same call again brings the index up to date.

    `model`: a model folder, whose backbone and scores are used; by default hangtag-base without
    scores; `taught`: the tags that it was taught, whose scores are then kept one by one. Whatever
    is computed is kept by content: a call that was killed is resumed. Raises CatalogError,
    ModelError, and ConfigError for a folder that holds something else.
    """
    _check(folder)
    designs = read_library(library)
    graph = None if model is None else ModelGraph(model)
    backbone = (graph and graph.own_backbone) or OnnxBackbone()
    with only_writer(folder / ".lock", folder):
        write_text(folder / MARK, "")
        before = _before(folder)
        designs = _with_digests(designs, before)
        digests = [one.digest or None for one in designs]
        locations = [one.location for one in designs]
        with store_of(folder / FEATURES, backbone) as store:
            computed = add_missing(store, backbone, digests, locations, workers=workers)
            store.drop_unused({digest for digest in digests if digest})
            positions, rows = readable(store, digests, backbone.widths)
            if not len(positions):
                raise CatalogError(f"{library}: no design in it can be read")
            kept = [designs[n] for n in positions.tolist()]
            scores = None if graph is None else Scores(folder / SCORES, graph, taught)
            written = IndexRows(folder, kept, store, rows, backbone.widths, scores)
            about = {
                "format": FORMAT,
                "library": str(library.resolve()),
                "model": None if model is None else str(model.resolve()),
                "backbone": backbone.digest,
                "designs": len(kept),
                "rows": written.write(workers),
            }
        write_text(folder / INDEX_FILE, json.dumps(about, indent=2) + "\n")
        remove_others(folder, str(about["rows"]), store)
        if graph is None:
            shutil.rmtree(folder / SCORES, ignore_errors=True)
        good = set(positions.tolist())
        left_out = [one for n, one in enumerate(designs) if n not in good]
        return _summary(kept, before, computed, _rejected(folder, left_out, workers))


def _check(folder: Path) -> None:
    if folder.is_file():
        raise ConfigError(f"{folder} is a file; name a folder for the index")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MARK).exists():
        raise ConfigError(
            f"{folder} exists and was not written by `hangtag index`; name another folder"
        )


def _before(folder: Path) -> list[Indexed]:
    """Return the designs that the index had."""
    if not (folder / INDEX_FILE).exists():
        return []
    about = read_object(folder / INDEX_FILE, ConfigError)
    table = folder / str(about.get("rows")) / DESIGNS
    return list(read_table(table)) if table.exists() else []


def _with_digests(designs: Sequence[Indexed], before: Sequence[Indexed]) -> list[Indexed]:
    """Return the designs with the digest of their content; empty where it cannot be read.

    A file whose size and time are those of the last time is not read again.
    """
    known = {(one.location, one.stamp): one.digest for one in before if one.stamp}
    digests = [
        None if one.stamp is None else known.get((one.location, one.stamp)) for one in designs
    ]
    unknown = [n for n, digest in enumerate(digests) if digest is None]
    read = digests_of([designs[n].location for n in unknown])
    for n, digest in zip(unknown, track(read, "reading", len(unknown)), strict=True):
        digests[n] = digest
    return [
        replace(one, digest=digest or b"") for one, digest in zip(designs, digests, strict=True)
    ]


@dataclass(frozen=True, eq=False)
class IndexRows:
    """The rows of an index: one per readable design, in the same order in every file."""

    folder: Path
    designs: list[Indexed]
    store: FeatureStore
    rows: NDArray[np.int64]
    widths: tuple[int, ...]
    scores: Scores | None

    def write(self, workers: int) -> str:
        """Write a folder of rows, unless it is there; return its name."""
        key = self._key()
        name = rows_name(key, self.scores)
        target = self.folder / name
        if (target / DESIGNS).exists():
            return name
        target.mkdir(exist_ok=True)
        same = next(self.folder.glob(f"rows-{key}-*/{DESIGNS}"), None)
        if same is None:
            self._write_vectors(target)
        else:
            link_vectors(same.parent, target)
        if self.scores is not None:
            self.scores.write(target, self.contents, workers)
        # Last: it marks the folder as complete.
        write_table(target / DESIGNS, self.designs)
        return name

    def _key(self) -> str:
        """Identify the designs and their features."""
        digest = hashlib.sha256(self.store.folder.name.encode())
        for one in self.designs:
            digest.update(repr(one).encode())
        return digest.hexdigest()[:16]

    @property
    def contents(self) -> Contents:
        """The designs as what is to be scored."""
        digests, locations = zip(*((one.digest, one.location) for one in self.designs), strict=True)
        return Contents(
            list(digests), list(locations), lambda some: self._features(self.rows[some])
        )

    def _features(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        return self._layout.features(self.store.stored()[rows])

    @cached_property
    def _layout(self) -> PackedRows:
        return PackedRows(self.widths)

    def _write_vectors(self, target: Path) -> None:
        some = np.random.default_rng(SEED).permutation(len(self.rows))[:FITTED]
        projection = Projection.fit(self._features(np.sort(self.rows[some])), self.widths)
        projection.write(target / PROJECTION)
        blocks = _blocks(len(self.rows))
        with atomic_path(target / COLOURS) as temporary, temporary.open("wb") as file:
            for block in blocks:
                colours = self._layout.colours(self.store.stored()[self.rows[block]])
                file.write(colours.astype(np.float16).tobytes())
        with (
            atomic_path(target / CONTENT) as content, atomic_path(target / STYLE) as style,
            content.open("wb") as first, style.open("wb") as second,
        ):  # fmt: skip
            for block in track(blocks, "vectors", len(blocks)):
                found = projection.vectors(self._features(self.rows[block]))
                first.write(found["content"].astype(np.float16).tobytes())
                second.write(found["style"].astype(np.float16).tobytes())


def rows_name(key: str, scores: Scores | None) -> str:
    """Return the name of a folder of rows, by what identifies its designs and its scores."""
    return f"rows-{key}-{scores.key[:16] if scores else 'none'}"


def link_vectors(
    source: Path, target: Path, names: Sequence[str] = (CONTENT, STYLE, COLOURS, PROJECTION)
) -> None:
    """Put files that say nothing of scores into another folder of rows of the same designs."""
    for name in names:
        (target / name).unlink(missing_ok=True)
        try:
            os.link(source / name, target / name)
        except OSError:  # a file system without links
            shutil.copyfile(source / name, target / name)


def _blocks(count: int) -> list[slice]:
    return [slice(start, start + ROWS) for start in range(0, count, ROWS)]


def remove_others(folder: Path, rows: str, store: FeatureStore) -> None:
    """Remove rows of before and features of other backbones."""
    for path in (folder / FEATURES).iterdir():
        if path.is_dir() and path != store.folder:
            shutil.rmtree(path, ignore_errors=True)
    for path in folder.glob("rows-*"):
        if path.name != rows:
            with suppress(OSError):  # Windows: another process reads it
                shutil.rmtree(path)


def _rejected(folder: Path, left_out: Sequence[Indexed], workers: int) -> dict[str, int]:
    """List the designs that cannot be read in a file; return how many there are per reason."""
    path = folder / REJECTED
    path.unlink(missing_ok=True)
    if not left_out:
        return {}
    decoding = partial(decode, size=PACKED, max_megapixels=MAX_MEGAPIXELS)
    found = map_designs(decoding, [one.location for one in left_out], workers=workers)
    rows = [
        (one.image, error.reason, str(error))
        for one, error in zip(left_out, found, strict=True)
        if isinstance(error, ImageError)
    ]
    write_csv(path, ("image", "reason", "message"), rows)
    counts = dict(sorted(Counter(reason for _, reason, _ in rows).items()))
    note(f"{len(rows):,} designs cannot be read: see {path}")
    return counts


def _summary(
    kept: Sequence[Indexed], before: Sequence[Indexed], computed: int, rejected: dict[str, int]
) -> IndexSummary:
    now = {one.location for one in kept}
    gone = Counter(one.digest for one in before if one.location not in now)
    were = {one.location for one in before}
    renamed = 0
    for one in kept:
        if one.location not in were and gone[one.digest]:
            gone[one.digest] -= 1
            renamed += 1
    return IndexSummary(len(kept), computed, renamed, gone.total(), rejected)


def about_of(folder: Path) -> dict[str, Any]:
    """Return index.json. Raises ConfigError where there is no index, or one of another format."""
    path = folder / INDEX_FILE
    if not path.exists():
        unfinished = (folder / MARK).exists()
        raise ConfigError(
            f"{folder} is not indexed to the end; the same `hangtag index` command resumes it"
            if unfinished
            else f"{folder} is not an index; write one with `hangtag index LIBRARY {folder}`"
        )
    about = read_object(path, ConfigError)
    if about.get("format") != FORMAT:
        raise ConfigError(
            f"{path} has format {about.get('format')!r}, this hangtag reads {FORMAT}; run the "
            "`hangtag index` command again, which writes the index anew"
        )
    return about


def store_rows(folder: Path, backbone: Backbone, digests: Sequence[bytes]) -> NDArray[np.float32]:
    """Return the features of designs of an index, float32 (n, F), by their digests."""
    with store_of(folder / FEATURES, backbone) as store:
        return PackedRows(backbone.widths).features(store.stored()[store.positions(digests)])
