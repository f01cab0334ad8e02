"""A dataset cut into three, so that every design is in a test part once: for out-of-fold scores."""

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hangtag.dataset.dataset_folder import (
    DESIGNS_FILE,
    RECORD_FILES,
    DatasetFolder,
    DatasetInfo,
    write_records,
)
from hangtag.errors import DatasetError
from hangtag.library.catalog import SPLITS, Catalog
from hangtag.library.splits import split_groups

FOLDS: Final = 3
# Shares of what is not in a fold's test part.
TRAINING: Final = (0.9, 0.1, 0.0)


def write_folds(dataset: DatasetFolder, folder: Path) -> list[Path]:
    """Write FOLDS datasets into `folder`; the same call again writes only what is missing.

    A group lies whole in one test part, and tags are spread evenly. Record ids are the rows of the
    dataset's designs.jsonl. Raises DatasetError for a dataset without it (the seed's).
    """
    catalog = dataset.designs()
    if catalog is None:
        raise DatasetError(f"{dataset.path} has no {DESIGNS_FILE}; pack it with `hangtag pack`")
    whole = _Whole(dataset, catalog)
    paths = [folder / f"fold-{fold + 1}" for fold in range(FOLDS)]
    for fold, path in enumerate(paths):
        # What the cut depends on beside the content.
        cut = hashlib.sha256(f"{dataset.fingerprint()} {dataset.info.seed} {fold} ".encode())
        cut.update(whole.groups.tobytes())
        info = replace(dataset.info, pack="", fingerprint=cut.hexdigest())
        done = DatasetInfo.read(path)
        if done is None or done.fingerprint != info.fingerprint:
            _write_fold(whole, path, fold, info)
    return paths


@dataclass(frozen=True, eq=False)
class _Whole:
    """All designs of a dataset, whatever their split, in the order of designs.jsonl."""

    dataset: DatasetFolder
    catalog: Catalog

    @cached_property
    def places(self) -> list[tuple[str, int]]:
        """Split and record of every row: a split holds its rows in ascending order."""
        seen = dict.fromkeys(SPLITS, -1)
        found = []
        for design in self.catalog:
            seen[design.split] += 1
            found.append((design.split, seen[design.split]))
        return found

    @cached_property
    def labels(self) -> NDArray[np.int8]:
        parts = {split: self.dataset.labels(split) for split in self.dataset.splits()}
        return np.stack([parts[split][record] for split, record in self.places])

    @cached_property
    def groups(self) -> NDArray[np.int64]:
        return self.catalog.group_numbers()

    @cached_property
    def folds(self) -> NDArray[np.int8]:
        """The fold in whose test part each row is."""
        free = np.full(len(self.catalog), -1)
        shares = (1 / FOLDS,) * FOLDS
        return split_groups(
            self.labels == 1, self.groups, fractions=shares, fixed=free, seed=self.dataset.info.seed
        )

    def images(self, rows: NDArray[np.intp]) -> Iterator[bytes]:
        with ExitStack() as stack:
            readers = {
                split: stack.enter_context(self.dataset.records(split))
                for split in self.dataset.splits()
            }
            for row in rows:
                split, record = self.places[row]
                yield readers[split][record].data


def _write_fold(whole: _Whole, path: Path, fold: int, info: DatasetInfo) -> None:
    """Write one fold's dataset; dataset.json comes last."""
    rest = np.flatnonzero(whole.folds != fold)
    parts = np.full(len(whole.catalog), SPLITS.index("test"), np.int8)
    parts[rest] = split_groups(
        whole.labels[rest] == 1,
        whole.groups[rest],
        fractions=TRAINING,
        fixed=np.full(len(rest), -1),
        seed=info.seed,
    )
    for part, split in enumerate(SPLITS):
        rows = np.flatnonzero(parts == part)
        write_records(path / RECORD_FILES[split], rows, whole.labels, whole.images(rows))
    whole.dataset.vocabulary.write(path / "tags.json")
    designs = tuple(
        replace(design, split=SPLITS[part])
        for design, part in zip(whole.catalog, parts, strict=True)
    )
    Catalog(designs, whole.catalog.root).write(path / DESIGNS_FILE)
    counts = {split: int((parts == part).sum()) for part, split in enumerate(SPLITS)}
    replace(info, designs=counts).write(path)
