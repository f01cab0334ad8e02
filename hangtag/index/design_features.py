"""Features, fingerprints and colours of designs, computed once by content and kept in a store."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hangtag.console import track
from hangtag.dataset.config import MAX_MEGAPIXELS, PackConfig
from hangtag.dataset.elsewhere import is_elsewhere
from hangtag.dataset.images import Pixels, decode, fit
from hangtag.dataset.workers import MAX_FILE_BYTES, applied, map_designs
from hangtag.errors import ImageError
from hangtag.index.backbone import Backbone, opened, saved
from hangtag.index.feature_store import FeatureStore, digest_of, opened_store
from hangtag.index.own import SIDE_OF_OWN
from hangtag.index.packed_rows import Bytes, PackedRows
from hangtag.library.colours import NAMES, colour_shares
from hangtag.library.fingerprints import FINGERPRINT_BYTES, fingerprint
from hangtag.storage.reading import read_ahead, read_bytes

BATCH: Final = 32
PACKED: Final = PackConfig().size


@dataclass(frozen=True, eq=False)
class _Prepared:
    """A decoded design, from a worker process."""

    digest: bytes
    pixels: Pixels | ImageError
    """The backbone's input, or why the design cannot be decoded."""
    fingerprint: NDArray[np.uint8]
    """(FINGERPRINT_BYTES,)."""
    colours: NDArray[np.float32]
    """(12,)."""


class _Row(NamedTuple):
    """A design as the store keeps it."""

    digest: bytes
    packed: Bytes
    """(size,), see `packed_rows`."""


@dataclass(frozen=True)
class _Rows:
    """Decoded designs -> their rows: what the nodes of a cluster get."""

    folder: Path
    """With the backbone in a file."""

    def at(self, folder: Path) -> "_Rows":
        """Return the same with a copy of the backbone."""
        return _Rows(folder)

    def __call__(self, designs: Sequence[_Prepared]) -> list[_Row]:
        return _rows(designs, opened(self.folder))


def store_of(kept: Path, backbone: Backbone) -> AbstractContextManager[FeatureStore]:
    """Open the store of a backbone in the folder `kept`: rows of bytes, as `packed_rows` says."""
    size = PackedRows(backbone.widths).size
    about = {"backbone": backbone.digest, "packed_size": PACKED, "input_size": SIDE_OF_OWN,
             "row_bytes": size}  # fmt: skip
    return opened_store(kept, size, about, np.uint8)


def digests_of(locations: Sequence[str]) -> Iterator[bytes | None]:
    """Yield the digest of every design's bytes; None where they cannot be read."""
    if is_elsewhere():
        for found in map_designs(digest_of, locations):
            yield None if isinstance(found, ImageError) else found
        return
    for source in read_ahead(locations, MAX_FILE_BYTES):
        data = source.data
        try:
            if data is None and source.error is None:
                data = read_bytes(source.location, MAX_FILE_BYTES)
        except (ImageError, OSError):
            data = None
        yield None if data is None else digest_of(data)


def add_missing(
    store: FeatureStore,
    backbone: Backbone,
    digests: Sequence[bytes | None],
    locations: Sequence[str],
    *,
    max_megapixels: float = MAX_MEGAPIXELS,
    workers: int = 0,
) -> int:
    """Compute the designs that the store lacks; return how many there were.

    What is computed is on disk after every batch, so that the same call resumes. A design that
    cannot be decoded gets a row of NaN, one whose decoder crashes gets none.
    """
    first: dict[bytes, str] = {}
    for digest, location in zip(digests, locations, strict=True):
        if digest is not None and digest not in store:
            first.setdefault(digest, location)
    if not first:
        return 0
    prepare = partial(_prepare, max_megapixels=max_megapixels)
    with saved(backbone) if is_elsewhere() else nullcontext() as shared:
        then = _Rows(shared) if shared else None
        found = map_designs(prepare, first.values(), then=then, workers=workers)
        found = track(found, "features", len(first))
        while batch := list(islice(found, BATCH)):
            rows = batch if then else applied(partial(_rows, backbone=backbone), batch)
            good = [one for one in rows if not isinstance(one, ImageError)]
            if good:
                store.append([row.digest for row in good], np.stack([row.packed for row in good]))
    return len(first)


def _prepare(data: bytes, max_megapixels: float) -> _Prepared:
    digest = digest_of(data)
    try:
        pixels = decode(data, PACKED, max_megapixels)
    except ImageError as cause:
        blank = np.zeros(FINGERPRINT_BYTES, np.uint8), np.zeros(len(NAMES), np.float32)
        return _Prepared(digest, cause, *blank)
    return _Prepared(digest, fit(pixels, SIDE_OF_OWN), fingerprint(pixels), colour_shares(pixels))


def _rows(designs: Sequence[_Prepared], backbone: Backbone) -> list[_Row]:
    """Return the rows of decoded designs; NaN for the features of one that cannot be decoded."""
    features = np.full((len(designs), sum(backbone.widths)), np.nan, np.float32)
    found = applied(
        lambda inputs: backbone.features(np.stack(inputs)), [one.pixels for one in designs]
    )
    for n, one in enumerate(found):
        if not isinstance(one, ImageError):
            features[n] = one
    prints = np.stack([one.fingerprint for one in designs])
    colours = np.stack([one.colours for one in designs])
    packed = PackedRows(backbone.widths).packed(features, prints, colours)
    return [_Row(one.digest, row) for one, row in zip(designs, packed, strict=True)]


def readable(
    store: FeatureStore, digests: Sequence[bytes | None], widths: Sequence[int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the positions of the designs with features, (n,), and their rows in the store.

    `widths`: those of the store's features.
    """
    read = [n for n, digest in enumerate(digests) if digest is not None and digest in store]
    at = store.positions([digest for n in read if (digest := digests[n]) is not None])
    good = PackedRows(widths).readable(store.stored()[at])
    return np.array(read, np.int64)[good], at[good]
