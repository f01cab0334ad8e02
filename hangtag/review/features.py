"""Features and near-duplicate groups of a catalog's designs, computed once and kept in a folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hangtag.console import note
from hangtag.dataset.config import MAX_MEGAPIXELS
from hangtag.index.backbone import Backbone
from hangtag.index.design_features import add_missing, digests_of, readable, store_of
from hangtag.index.feature_store import FeatureStore
from hangtag.index.packed_rows import PackedFeatures, PackedRows
from hangtag.library.catalog import Catalog
from hangtag.library.near_duplicates import merge_groups, near_duplicate_groups
from hangtag.training.kernel import Rows


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


def catalog_features(
    catalog: Catalog,
    backbone: Backbone,
    kept: Path,
    *,
    keep: bool = False,
    max_megapixels: float = MAX_MEGAPIXELS,
    workers: int = 0,
) -> CatalogFeatures:
    """Return the features of a catalog's designs; compute those that the folder `kept` lacks.

    They are kept by the content of the design, in half precision: the same call again resumes.
    Designs that cannot be read are left out and counted. `keep`: others in the folder stay, too.
    """
    with store_of(kept, backbone) as store:
        locations = catalog.located()
        digests = list(digests_of(locations))
        add_missing(
            store, backbone, digests, locations, max_megapixels=max_megapixels, workers=workers
        )
        if not keep:
            store.drop_unused({digest for digest in digests if digest is not None})
        return _features(catalog, backbone, store, digests)


def _features(
    catalog: Catalog, backbone: Backbone, store: FeatureStore, digests: Sequence[bytes | None]
) -> CatalogFeatures:
    stored, widths = store.stored(), backbone.widths
    positions, at = readable(store, digests, widths)
    if len(positions) < len(catalog):
        note(f"{len(catalog) - len(positions):,} designs cannot be read: no questions about them")
    prints = PackedRows(widths).prints(stored[at])
    named = [catalog.designs[n].group or f"\0{n}" for n in positions.tolist()]
    _, own = np.unique(np.array(named, np.str_), return_inverse=True)
    groups = merge_groups(near_duplicate_groups(prints), at, own)
    return CatalogFeatures(positions, PackedFeatures(stored, at, widths), widths, groups)
