"""DATASET/: what lies in it, and how its records are read. Also the seed's own bucket layout."""

import functools
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from hangtag import __version__
from hangtag.dataset.config import MAX_MEGAPIXELS
from hangtag.dataset.recordio import RecordReader, RecordWriter
from hangtag.errors import DatasetError, Remedy
from hangtag.library.catalog import SPLITS, Catalog
from hangtag.library.vocabulary import Vocabulary
from hangtag.storage.files import read_text, write_text

FORMAT: Final = 1
# The seed's bucket layout, so that a plain sync of the folder is the upload.
RECORD_FILES: Final = {
    "train": Path("training/train.rec"),
    "validation": Path("validation/val.rec"),
    "test": Path("test/test.rec"),
}
INFO_FILE: Final = "dataset.json"
TAGS_FILES: Final = ("tags.json", "tags.txt")
DESIGNS_FILE: Final = "designs.jsonl"
REJECTED_FILE: Final = "rejected.csv"
OWN_FILES: Final = (INFO_FILE, TAGS_FILES[0], DESIGNS_FILE, REJECTED_FILE)
WORK_FOLDER: Final = ".pack"
ENOUGH_REVIEWED: Final = 10


@dataclass(frozen=True)
class DatasetInfo:
    """What dataset.json holds. The defaults describe a dataset that im2rec made."""

    format: int = FORMAT
    hangtag: str = __version__
    size: int = 256  # longest side in pixels
    max_megapixels: float = MAX_MEGAPIXELS  # larger designs were rejected
    flatten: Literal["none", "white", "black"] = "none"
    three_valued: bool = False  # labels hold -1 for unknown, and 0 is a reviewed no
    split: str = ""
    seed: int = 0
    catalog: str = ""  # fingerprint of the catalog
    fingerprint: str = ""  # of what is in the records: see `fingerprint_of`
    # By this the packer knows its own work again: catalog, paths and times of its files, settings.
    # It differs from machine to machine. Until November 2026 it was also the fingerprint.
    pack: str = ""
    designs: dict[str, int] = field(default_factory=dict)  # per split
    rejected: dict[str, int] = field(default_factory=dict)  # per reason
    groups: int = 0
    leaks: int = 0  # groups that the catalog's own split column tears apart
    tags: int = 0

    def write(self, folder: Path) -> None:
        """Write dataset.json. It comes last: its presence says that the dataset is whole."""
        write_text(folder / INFO_FILE, json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def read(cls, folder: Path) -> "DatasetInfo | None":
        """Read dataset.json, or return None where there is none. Raises DatasetError."""
        path = folder / INFO_FILE
        if not path.exists():
            return None
        try:
            info = cls(**json.loads(read_text(path, DatasetError)))
        except (ValueError, TypeError) as cause:
            raise DatasetError(f"{path} is damaged ({cause}); pack the dataset again") from cause
        if info.format != FORMAT:
            raise DatasetError(
                f"{path} has format {info.format}, this hangtag reads {FORMAT}; "
                "install the version that packed it, or pack again"
            )
        return info


class Dataset:
    """A packed dataset: its vocabulary and, for each split, its records and labels."""

    def __init__(self, path: Path, vocabulary: Vocabulary, info: DatasetInfo) -> None:
        self.path = path
        self.vocabulary = vocabulary
        self.info = info

    @classmethod
    def open(cls, path: "Dataset | Path", tags_file: Path | None = None) -> "Dataset":
        """Open DATASET/, packed by hangtag or laid out by the seed (.rec files and a tags file).

        `tags_file` (.json, or .txt with one tag a line in column order) replaces the folder's own.
        An open one is returned. Raises DatasetError where something is missing or unfinished.
        """
        if isinstance(path, Dataset):
            return path
        path = Path(path)
        info = DatasetInfo.read(path)
        if info is None and (path / WORK_FOLDER).exists():
            raise DatasetError(
                f"{path} was not packed to the end; run the same `hangtag pack` command again"
            )
        if not (path / RECORD_FILES["train"]).exists():
            raise DatasetError(
                f"{path} holds no {RECORD_FILES['train']}; make it with `hangtag pack`"
            )
        own = next((path / n for n in TAGS_FILES if (path / n).exists()), None)
        tags = tags_file or own
        if tags is None:
            raise DatasetError(f"{path} holds no tags.json or tags.txt", remedy=Remedy.TAGS)
        vocabulary = Vocabulary.read(tags)
        if own and own != tags and (whole := Vocabulary.read(own)).names == vocabulary.names:
            vocabulary = whole  # with the aliases and implications that a list of names lacks
        folder = cls(path, vocabulary, info or DatasetInfo())
        return folder if info else folder._with_counts()

    def fingerprint(self) -> str:
        """Return what tells the content of this dataset from others, wherever it lies.

        Of one that an earlier hangtag packed, what that hangtag knew it by; of one in the SageMaker
        layout, a SHA-256 of its tags and record files. Raises DatasetError.
        """
        return self.info.fingerprint or self.info.pack or self._digest_of_files()

    def was_known_as(self, fingerprint: str) -> bool:
        """Tell whether a run, a study or features that note this `fingerprint` are of this dataset.

        An earlier hangtag noted the packer's key, and for the SageMaker layout a hash of tags and
        labels.
        """
        if not fingerprint or fingerprint in (self.fingerprint(), self.info.pack):
            return bool(fingerprint)
        return not self.info.pack and fingerprint == self._digest_of_labels()

    def _digest_of_files(self) -> str:
        digest = hashlib.sha256(json.dumps(self.vocabulary.names).encode())
        for split in self.splits():
            path = (self.path / RECORD_FILES[split]).resolve()
            stat = path.stat()
            digest.update(f"{split} {_digest_of(path, stat.st_size, stat.st_mtime_ns)}".encode())
        return digest.hexdigest()

    def _digest_of_labels(self) -> str:
        digest = hashlib.sha256("\n".join(self.vocabulary.names).encode())
        for split in self.splits():
            digest.update(self.labels(split).tobytes())
        return digest.hexdigest()

    def splits(self) -> list[str]:
        """Return the splits that the dataset has, in the order train, validation, test."""
        return [split for split in SPLITS if (self.path / RECORD_FILES[split]).exists()]

    def records(self, split: str) -> RecordReader:
        """Open the records of a split, at least one; close them after use.

        Raises DatasetError, RecordError.
        """
        path = self.path / RECORD_FILES[split]
        if not path.exists():
            raise DatasetError(
                f"{self.path} has no {split} split; it has {', '.join(self.splits())}"
            )
        records = RecordReader(path)
        if not len(records):
            records.close()
            raise DatasetError(
                f"{path} holds no records ({path.stat().st_size:,} bytes); pack it again, im2rec"
                " leaves it so where it finds none of the images in its list"
            )
        return records

    def labels(self, split: str) -> NDArray[np.int8]:
        """Return int8 (n, T): 1 yes, 0 no, -1 unknown. Raises DatasetError, RecordError."""
        with self.records(split) as records:
            values = records.labels()
        tags = len(self.vocabulary)
        if values.shape[1] != tags:
            raise DatasetError(
                f"{self.path / RECORD_FILES[split]} has {values.shape[1]} labels a record, but "
                f"the vocabulary has {tags} tags; give the tags file that belongs to it (--tags)"
            )
        labels = values.astype(np.int8)
        odd = np.argwhere((labels != values) | (labels < -1) | (labels > 1))
        if len(odd):
            record, column = odd[0]
            raise DatasetError(
                f"{self.path / RECORD_FILES[split]}: record {record} has the label "
                f"{values[record, column]:g} for tag {column}; only 0, 1 and -1 are known"
            )
        return labels

    def reviewed_labels(self, split: str) -> NDArray[np.int8]:
        """Return int8 (n, T): 1 yes, 0 reviewed no, -1 unknown, whatever the records can hold.

        Records of 0 and 1 do not tell a reviewed no from a tag that nobody has thought of, but
        designs.jsonl does; without either, all that is no yes is unknown.
        """
        labels = self.labels(split)
        if self.info.three_valued:
            return labels
        catalog = self.designs()
        if catalog is None:
            return np.where(labels == 1, labels, np.int8(-1))
        rows = [design for design in catalog if design.split == split]
        if len(rows) != len(labels):
            raise DatasetError(
                f"{self.path / DESIGNS_FILE} has {len(rows)} {split} designs, "
                f"{RECORD_FILES[split]} has {len(labels)} records; pack the dataset again"
            )
        reviewed = self.vocabulary.label_matrix(rows)
        reviewed[labels == 1] = 1
        return reviewed

    def judged_labels(self, split: str) -> NDArray[np.int8]:
        """Return `reviewed_labels` as scores are measured against them.

        Where people reviewed enough of a tag (ENOUGH_REVIEWED times no, and as often as yes), what
        they have not seen stays unknown and out of the measurement. Of any other tag an unknown
        counts as no: measured on its yes and a handful of no, every model would be perfect.
        """
        labels = self.reviewed_labels(split)
        yes, no = (np.count_nonzero(labels == value, axis=0) for value in (1, 0))
        thin = no < np.maximum(yes, ENOUGH_REVIEWED)
        labels[:, thin] = labels[:, thin] == 1
        return labels

    def designs(self) -> Catalog | None:
        """Return the packed designs (record id = row), or None for a dataset of the seed's."""
        return self._designs

    @cached_property
    def _designs(self) -> Catalog | None:
        path = self.path / DESIGNS_FILE
        return Catalog.read(path, merge=False) if path.exists() else None

    def _with_counts(self) -> "Dataset":
        counts = (self.labels("train") == 1).sum(axis=0)
        tags = tuple(
            replace(tag, count=int(count))
            for tag, count in zip(self.vocabulary.tags, counts, strict=True)
        )
        return Dataset(self.path, replace(self.vocabulary, tags=tags), self.info)


@functools.lru_cache(maxsize=16)  # every trial of a study asks
def _digest_of(path: Path, size: int, modified: int) -> str:
    """Return the SHA-256 of a file; `size` and `modified` tell its state from others."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint_of(
    names: Sequence[str],
    labels: NDArray[np.int8],
    parts: NDArray[np.int8],
    contents: Sequence[str],
    settings: Mapping[str, object],
) -> str:
    """Return the SHA-256 of what training and evaluation see of a dataset, 64 hex digits.

    That is the tag `names` in column order, the int8 (n, T) `labels` (1, 0, -1) of n designs in
    their order, their `parts` (n,), the digests of their decoded pixels, and the `settings` that
    decide how these are stored. Neither paths nor times: the same designs packed on another machine
    have the same. Encoded bytes are left out too, as libraries of other versions compress
    otherwise.
    """
    head = {"names": list(names), "shape": labels.shape, **settings}
    digest = hashlib.sha256(json.dumps(head, sort_keys=True).encode())
    for array in (labels, parts):
        digest.update(np.ascontiguousarray(array, np.int8).tobytes())
    for content in contents:
        digest.update(f"{content}\n".encode())
    return digest.hexdigest()


def write_records(
    path: Path, rows: NDArray[np.intp], labels: NDArray[np.generic], images: Iterable[bytes]
) -> None:
    """Write one split: a record for each of `rows`, with its row of `labels`, (N, T), and image."""
    with RecordWriter(path) as writer:
        for key, (row, image) in enumerate(zip(rows, images, strict=True)):
            writer.write(key, labels[row].astype(np.float32), image, id=int(row))
