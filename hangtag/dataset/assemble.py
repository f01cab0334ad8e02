"""The quick part of packing: decoded shards -> groups, splits and every file of DATASET/."""

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hangtag.dataset.config import PackConfig
from hangtag.dataset.dataset_folder import (
    DESIGNS_FILE,
    INFO_FILE,
    RECORD_FILES,
    REJECTED_FILE,
    TAGS_FILES,
    DatasetInfo,
    write_records,
)
from hangtag.dataset.shards import DIGEST_BYTES, Prepared, Rejection
from hangtag.errors import DatasetError
from hangtag.library.catalog import SPLITS, Catalog, Design
from hangtag.library.fingerprints import FINGERPRINT_BYTES
from hangtag.library.near_duplicates import merge_groups, near_duplicate_groups
from hangtag.library.splits import split_groups
from hangtag.library.vocabulary import Vocabulary
from hangtag.storage.files import atomic_path


@dataclass(frozen=True, eq=False)
class Assembly:
    """What a dataset is made of, complete before any of its files is written."""

    prepared: Prepared
    vocabulary: Vocabulary
    labels: NDArray[np.int8]
    """(n, T): 1 yes, 0 no, -1 unknown."""

    groups: NDArray[np.int64]
    """(n,): designs of one number stay in the same split."""

    splits: NDArray[np.int8]
    """(n,): position in SPLITS."""

    @classmethod
    def of(cls, prepared: Prepared, vocabulary: Vocabulary, config: PackConfig) -> "Assembly":
        """Label, group and split designs. Raises DatasetError where a split stays empty.

        The fingerprints in `prepared` are gone afterwards: of a million designs they are 0.6 GB.
        """
        groups = _groups(prepared)
        prepared.hashes.clear()
        labels = vocabulary.label_matrix(prepared.designs)
        splits = _splits(prepared.designs, labels, groups, config)
        return cls(prepared, vocabulary, labels, groups, splits)

    def write(self, folder: Path, catalog: Catalog, config: PackConfig) -> None:
        """Write every file of DATASET/ but dataset.json, over an earlier dataset."""
        (folder / INFO_FILE).unlink(missing_ok=True)
        write_rejected(folder, self.prepared.rejected)
        for number, split in enumerate(SPLITS):
            chosen = np.flatnonzero(self.splits == number)
            path = folder / RECORD_FILES[split]
            if len(chosen):
                values = self.labels if config.three_valued else self.labels == 1
                write_records(path, chosen, values, self.prepared.images(chosen.tolist()))
            else:
                path.unlink(missing_ok=True)
                path.with_suffix(".idx").unlink(missing_ok=True)
        self.vocabulary.write(folder / TAGS_FILES[0])
        Catalog(self._designs(), catalog.root).write(folder / DESIGNS_FILE)
        (folder / "output").mkdir(exist_ok=True)

    def info(self, catalog: Catalog, config: PackConfig, key: str) -> DatasetInfo:
        """Return what dataset.json holds; `key` is the packer's."""
        counts = {split: int((self.splits == n).sum()) for n, split in enumerate(SPLITS)}
        rejected = Counter(rejection.reason for rejection in self.prepared.rejected)
        return DatasetInfo(
            size=config.size,
            max_megapixels=config.max_megapixels,
            flatten=config.flatten,
            three_valued=config.three_valued,
            split=config.split,
            seed=config.seed,
            catalog=catalog.fingerprint(),
            fingerprint=fingerprint_of(
                self.vocabulary.names,
                self.labels,
                self.splits,
                self.prepared.digests,
                {"size": config.size, "flatten": config.flatten},
            ),
            pack=key,
            designs={split: count for split, count in counts.items() if count},
            rejected=dict(sorted(rejected.items())),
            groups=len(np.unique(self.groups)),
            leaks=self._leaks(),
            tags=len(self.vocabulary),
        )

    def _designs(self) -> tuple[Design, ...]:
        """Return what was packed; a record's `id` is its position here."""
        return tuple(
            Design(d.image, d.tags, d.not_tags, f"g{group}", d.vendor, SPLITS[split])
            for d, group, split in zip(self.prepared.designs, self.groups, self.splits, strict=True)
        )

    def _leaks(self) -> int:
        """Count the groups in several splits, where the catalog's own `split` column put them."""
        pairs = np.unique(np.stack([self.groups, self.splits.astype(np.int64)]), axis=1)
        return int((np.unique(pairs[0], return_counts=True)[1] > 1).sum())


def _groups(prepared: Prepared) -> NDArray[np.int64]:
    """Return one number (n,) for designs that belong together.

    These are near-duplicates, designs with the same pixels, files that differ only in their suffix
    (a drawing and its exports), and the catalog's own groups.
    """
    hashes = np.frombuffer(prepared.hashes, np.uint8).reshape(-1, FINGERPRINT_BYTES)
    own = _numbered(design.group or row for row, design in enumerate(prepared.designs))
    files = _numbered(one.image[: -len(Path(one.image).suffix) or None] for one in prepared.designs)
    pixels = np.unique(np.frombuffer(prepared.digests, f"V{DIGEST_BYTES}"), return_inverse=True)[1]
    return merge_groups(near_duplicate_groups(hashes), pixels, files, own)


def _numbered(values: Iterable[Hashable]) -> NDArray[np.int64]:
    """Return a number (n,) for every value, the same for equal ones.

    Unlike np.unique it keeps no array of texts as wide as the longest.
    """
    numbers: dict[Hashable, int] = {}
    return np.fromiter((numbers.setdefault(one, len(numbers)) for one in values), np.int64)


def _splits(
    designs: list[Design],
    labels: NDArray[np.int8],
    groups: NDArray[np.int64],
    config: PackConfig,
) -> NDArray[np.int8]:
    """Return the split of every design, int8 (n,): its position in SPLITS."""
    fixed = np.array([SPLITS.index(d.split) if d.split else -1 for d in designs])
    splits = split_groups(
        labels == 1, groups, fractions=config.fractions(), fixed=fixed, seed=config.seed
    )
    for number in (0, 1):
        if not (splits == number).any():
            raise DatasetError(
                f"no design is left for {SPLITS[number]}: {len(designs)} designs in "
                f"{len(np.unique(groups))} groups; tag more designs or change --split"
            )
    return splits


def fingerprint_of(
    names: Sequence[str],
    labels: NDArray[np.int8],
    splits: NDArray[np.int8],
    digests: bytes | bytearray,
    settings: Mapping[str, object],
) -> str:
    """Return the SHA-256 of what training and evaluation see of a dataset, 64 hex digits.

    It covers the tag `names` in column order, the int8 (n, T) `labels` (1, 0, -1) of n designs in
    order, the positions (n,) of their `splits` in SPLITS, the `digests` of their decoded pixels, of
    DIGEST_BYTES each, and the `settings` that decide how these are stored. It covers neither paths
    nor times: the same designs packed on another machine have the same fingerprint. Encoded bytes
    are left out too, because other versions of the image libraries compress differently.
    """
    head = {"names": list(names), "shape": labels.shape, **settings}
    digest = hashlib.sha256(json.dumps(head, sort_keys=True).encode())
    for array in (labels, splits):
        digest.update(np.ascontiguousarray(array, np.int8).data)
    for start in range(0, len(digests), DIGEST_BYTES):
        digest.update(f"{digests[start : start + DIGEST_BYTES].hex()}\n".encode())
    return digest.hexdigest()


def write_rejected(folder: Path, rejected: Sequence[Rejection]) -> None:
    """Write rejected.csv: image, reason and message of every design left out."""
    path = folder / REJECTED_FILE
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("image", "reason", "message"))
        writer.writerows(map(astuple, rejected))
