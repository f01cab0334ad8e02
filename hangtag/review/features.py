"""Features and near-duplicate groups of a catalog's designs, computed once and kept in a folder."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hangtag.console import note, track
from hangtag.dataset.config import MAX_MEGAPIXELS, PackConfig
from hangtag.dataset.images import Pixels, decode, fit
from hangtag.dataset.workers import MAX_FILE_BYTES, map_designs
from hangtag.errors import ImageError
from hangtag.library.catalog import Catalog
from hangtag.library.fingerprints import FINGERPRINT_BYTES, fingerprint
from hangtag.library.near_duplicates import merge_groups, near_duplicate_groups
from hangtag.storage.reading import read_ahead, read_bytes
from hangtag.training.backbone import Backbone
from hangtag.training.defaults import SIDE_OF_OWN
from hangtag.training.feature_store import FeatureStore, Rows, digest_of, opened_store

BATCH: Final = 32
PACKED: Final = PackConfig().size


@dataclass(frozen=True, eq=False)
class CatalogFeatures:
    """The n readable designs of a catalog."""

    positions: NDArray[np.int64]
    """(n,), their positions in the catalog, ascending."""

    rows: Rows
    """(n, F)."""

    widths: tuple[int, ...]
    """Features of each part; they sum to F."""

    groups: NDArray[np.int64]
    """(n,): near-duplicates, and designs of one group of the catalog, share a number."""


@dataclass(frozen=True, eq=False)
class _Prepared:
    """A decoded design, from a worker process."""

    digest: bytes
    pixels: Pixels | None
    """The backbone's input; None for a design that cannot be decoded."""
    fingerprint: NDArray[np.uint8]


def catalog_features(
    catalog: Catalog,
    backbone: Backbone,
    kept: Path,
    *,
    max_megapixels: float = MAX_MEGAPIXELS,
    workers: int = 0,
) -> CatalogFeatures:
    """Return the features of a catalog's designs; compute those that the folder `kept` lacks.

    They are kept by the content of the design, in half precision: the same call again resumes.
    Designs that cannot be read are left out and counted.
    """
    about = {"backbone": backbone.digest, "packed_size": PACKED, "input_size": SIDE_OF_OWN}
    # A fingerprint is bytes, which half precision holds exactly: one store for both.
    width = sum(backbone.widths) + FINGERPRINT_BYTES
    with opened_store(kept, width, about) as store:
        locations = catalog.located()
        digests = list(_digests(locations))
        first: dict[bytes, str] = {}
        for digest, location in zip(digests, locations, strict=True):
            if digest is not None and digest not in store:
                first.setdefault(digest, location)
        prepare = partial(_prepare, max_megapixels=max_megapixels)
        designs = map_designs(prepare, first.values(), workers=workers)
        found = track(designs, "features", len(first)) if first else iter(())
        while batch := list(islice(found, BATCH)):
            _append(store, backbone, [one for one in batch if not isinstance(one, ImageError)])
        store.drop_unused({digest for digest in digests if digest is not None})
        return _features(catalog, backbone, store, digests)


def _digests(locations: Sequence[str]) -> Iterator[bytes | None]:
    """Yield the digest of every design's bytes; None where they cannot be read."""
    for source in read_ahead(locations, MAX_FILE_BYTES):
        data = source.data
        try:
            if data is None and source.error is None:
                data = read_bytes(source.location, MAX_FILE_BYTES)
        except (ImageError, OSError):
            data = None
        yield None if data is None else digest_of(data)


def _prepare(data: bytes, max_megapixels: float) -> _Prepared:
    digest = digest_of(data)
    try:
        pixels = decode(data, PACKED, max_megapixels)
    except ImageError:
        return _Prepared(digest, None, np.zeros(FINGERPRINT_BYTES, np.uint8))
    return _Prepared(digest, fit(pixels, SIDE_OF_OWN), fingerprint(pixels))


def _append(store: FeatureStore, backbone: Backbone, designs: Sequence[_Prepared]) -> None:
    """Store the features of decoded designs; NaN for those that cannot be decoded."""
    width = sum(backbone.widths)
    rows = np.full((len(designs), store.width), np.nan, np.float32)
    good = {n: one.pixels for n, one in enumerate(designs) if one.pixels is not None}
    if good:
        rows[list(good), :width] = backbone.features(np.stack(list(good.values())))
        rows[list(good), width:] = [designs[n].fingerprint for n in good]
    if designs:
        store.append([one.digest for one in designs], rows)


def _features(
    catalog: Catalog, backbone: Backbone, store: FeatureStore, digests: Sequence[bytes | None]
) -> CatalogFeatures:
    stored, width = store.stored(), sum(backbone.widths)
    read = [n for n, digest in enumerate(digests) if digest is not None and digest in store]
    at = store.positions([digest for n in read if (digest := digests[n]) is not None])
    good = np.isfinite(stored[at, 0]) if len(at) else np.zeros(0, np.bool_)
    positions, at = np.array(read, np.int64)[good], at[good]
    if len(positions) < len(catalog):
        note(f"{len(catalog) - len(positions):,} designs cannot be read: no questions about them")
    prints = np.ascontiguousarray(stored[:, width:][at].astype(np.uint8))
    named = [catalog.designs[n].group or f"\0{n}" for n in positions.tolist()]
    _, own = np.unique(np.array(named, np.str_), return_inverse=True)
    groups = merge_groups(near_duplicate_groups(prints), at, own)
    return CatalogFeatures(positions, Rows(stored[:, :width], at), backbone.widths, groups)
