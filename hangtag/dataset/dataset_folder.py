"""DATASET/: its files, and how its records are read. Also the SageMaker layout of im2rec."""

import functools
import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from hangtag import __version__
from hangtag.dataset.config import MAX_MEGAPIXELS
from hangtag.dataset.record_set import Records, RecordSet
from hangtag.dataset.recordio import RecordReader, RecordWriter
from hangtag.errors import DatasetError, Remedy
from hangtag.library.catalog import SPLITS, Catalog
from hangtag.library.vocabulary import Vocabulary
from hangtag.storage.files import read_text, write_text
from hangtag.storage.parts import all_parts, part_files

FORMAT: Final = 1
# The SageMaker layout, so that a plain sync of the folder to a bucket is the upload.
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
SHARDS_FOLDER: Final = "shards"
ENOUGH_REVIEWED: Final = 10
COUNTED: Final = 16_384  # designs whose labels are counted at once


@dataclass(frozen=True)
class DatasetInfo:
    """What dataset.json holds. The defaults describe a dataset that im2rec made."""

    format: int = FORMAT
    """Version of the layout of DATASET/."""

    hangtag: str = __version__
    """Version that packed the dataset."""

    size: int = 256
    """Longest side of a packed design, in pixels."""

    max_megapixels: float = MAX_MEGAPIXELS
    """Larger designs were rejected."""

    flatten: Literal["none", "white", "black"] = "none"
    """Background that designs were put on; none keeps transparency."""

    three_valued: bool = False
    """Whether labels are -1 for unknown, and 0 only for a reviewed no."""

    split: str = ""
    """Shares of training, validation and test, as in `PackConfig.split`."""

    seed: int = 0
    """Seed of the split."""

    catalog: str = ""
    """Fingerprint of the catalog."""

    fingerprint: str = ""
    """Of the content of the records: see `assemble.fingerprint_of`."""

    pack: str = ""
    """The packer's key: a digest of catalog, paths and times of its files, and settings, by which
    it recognises a dataset of its own. It differs between machines. Until November 2026 it was also
    the fingerprint."""

    designs: dict[str, int] = field(default_factory=dict)
    """Number of designs per split."""

    rejected: dict[str, int] = field(default_factory=dict)
    """Number of designs left out, per reason."""

    groups: int = 0
    """Number of groups of designs that belong together, such as near-duplicates."""

    leaks: int = 0
    """Groups that the catalog's own `split` column puts into several splits."""

    tags: int = 0
    """Number of tags."""

    def write(self, folder: Path) -> None:
        """Write dataset.json, last of all files: its presence marks the dataset complete."""
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
        """Open DATASET/, packed by hangtag or in the SageMaker layout (.rec files and a tags file).

        `tags_file` (.json, or .txt with one tag a line in column order) replaces the folder's own.
        An open Dataset is returned as it is. Raises DatasetError where something is missing or
        unfinished.
        """
        if isinstance(path, Dataset):
            return path
        path = Path(path)
        info = DatasetInfo.read(path)
        if info is None and (path / WORK_FOLDER).exists():
            raise DatasetError(
                f"{path} was not packed to the end; the same `hangtag pack` command resumes it"
            )
        if info is None and (path / SHARDS_FOLDER).is_dir():
            raise DatasetError(f"{path} holds shards only; `hangtag merge {path}` joins them")
        if not record_files(path, "train"):
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
        """Return a digest of the content of this dataset, the same wherever it is stored.

        A dataset that an earlier hangtag packed keeps the fingerprint it had then; for the
        SageMaker layout it is a SHA-256 of its tags and record files. Raises DatasetError.
        """
        return self.info.fingerprint or self.info.pack or self._digest_of_files()

    def was_known_as(self, fingerprint: str) -> bool:
        """Return whether `fingerprint`, stored by a run, a study or features, means this dataset.

        An earlier hangtag stored the packer's key, and for the SageMaker layout a hash of tags and
        labels.
        """
        if not fingerprint or fingerprint in (self.fingerprint(), self.info.pack):
            return bool(fingerprint)
        return not self.info.pack and fingerprint == self._digest_of_labels()

    def _digest_of_files(self) -> str:
        digest = hashlib.sha256(json.dumps(self.vocabulary.names).encode())
        for split in self.splits():
            for path in (file.resolve() for file in record_files(self.path, split)):
                stat = path.stat()
                found = _digest_of(path, stat.st_size, stat.st_mtime_ns)
                digest.update(f"{split} {found}".encode())
        return digest.hexdigest()

    def _digest_of_labels(self) -> str:
        digest = hashlib.sha256("\n".join(self.vocabulary.names).encode())
        for split in self.splits():
            digest.update(self.labels(split).tobytes())
        return digest.hexdigest()

    def splits(self) -> list[str]:
        """Return the splits that the dataset has, in the order train, validation, test."""
        return [split for split in SPLITS if record_files(self.path, split)]

    def records(self, split: str) -> Records:
        """Open the records of a split, of which there is at least one; close them after use.

        Raises DatasetError, RecordError.
        """
        path, files = self.path / RECORD_FILES[split], record_files(self.path, split)
        if not files:
            raise DatasetError(
                f"{self.path} has no {split} split; it has {', '.join(self.splits())}"
            )
        records: Records = RecordReader(path) if files == [path] else RecordSet(path, files)
        if not len(records):
            records.close()
            size = sum(file.stat().st_size for file in files)
            raise DatasetError(
                f"{path} holds no records ({size:,} bytes); pack it again, im2rec"
                " leaves it so where it finds none of the images in its list"
            )
        return records

    def labels(self, split: str) -> NDArray[np.int8]:
        """Return int8 (n, T): 1 yes, 0 no, -1 unknown. Raises DatasetError, RecordError."""
        file, tags = self.path / RECORD_FILES[split], len(self.vocabulary)
        with self.records(split) as records:
            labels, begin = np.empty((len(records), tags), np.int8), 0
            for values in records.label_blocks():
                if values.shape[1] != tags:
                    raise DatasetError(
                        f"{file} has {values.shape[1]} labels a record, but "
                        f"the vocabulary has {tags} tags; give the right tags file (--tags-file)"
                    )
                block = labels[begin : begin + len(values)]
                block[:] = values
                odd = np.argwhere((block != values) | (block < -1) | (block > 1))
                if len(odd):
                    record, column = odd[0]
                    raise DatasetError(
                        f"{file}: record {begin + record} has the label "
                        f"{values[record, column]:g} for tag {column}; only 0, 1 and -1 are known"
                    )
                begin += len(values)
        return labels

    def reviewed_labels(self, split: str) -> NDArray[np.int8]:
        """Return int8 (n, T): 1 yes, 0 reviewed no, -1 unknown, whatever the records can hold.

        Records of 0 and 1 do not distinguish a reviewed no from an unknown, but designs.jsonl does;
        without either, everything but a yes is unknown.
        """
        labels = self.labels(split)
        if self.info.three_valued:
            return labels
        catalog = self.designs()
        if catalog is None:
            return np.where(labels == 1, labels, np.int8(-1))
        designs = [design for design in catalog if design.split == split]
        if len(designs) != len(labels):
            raise DatasetError(
                f"{self.path / DESIGNS_FILE} has {len(designs)} {split} designs, "
                f"{RECORD_FILES[split]} has {len(labels)} records; pack the dataset again"
            )
        reviewed = self.vocabulary.label_matrix(designs)
        reviewed[labels == 1] = 1
        return reviewed

    def judged_labels(self, split: str) -> NDArray[np.int8]:
        """Return `reviewed_labels` as scores are measured against them: see `judged`."""
        return judged(self.reviewed_labels(split))

    def designs(self) -> Catalog | None:
        """Return the packed designs (record id = position), or None in the SageMaker layout."""
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


def judged(
    labels: NDArray[np.int8], chosen: slice | NDArray[np.int64] = slice(None)
) -> NDArray[np.int8]:
    """Return labels, int8 (n, T) of 1 yes, 0 reviewed no, -1 unknown, as scores are measured.

    Of a million designs those of the `chosen` rows alone take a bounded memory.

    Where people reviewed enough designs for a tag (ENOUGH_REVIEWED no, and as many no as yes),
    unreviewed designs stay unknown and are not measured. For any other tag an unknown counts as no:
    measured on all its yes and a handful of no, every model would look perfect.
    """
    yes, no = np.zeros((2, labels.shape[1]), np.int64)
    for start in range(0, len(labels), COUNTED):
        block = labels[start : start + COUNTED]
        yes += np.count_nonzero(block == 1, axis=0)
        no += np.count_nonzero(block == 0, axis=0)
    thin, rows = no < np.maximum(yes, ENOUGH_REVIEWED), labels[chosen]
    return np.where(thin & (rows < 0), np.int8(0), rows)


def record_files(folder: Path, split: str) -> list[Path]:
    """Return the record files of a split, in order: train.rec, or all train-00000-of-00016.rec.

    Empty where there is none. Raises DatasetError where some of several are missing.
    """
    path = folder / RECORD_FILES[split]
    if path.exists():
        return [path]
    if not path.parent.is_dir() or not part_files(path):
        return []
    return all_parts(path, error=DatasetError, remedy="copy them into the folder")


@functools.lru_cache(maxsize=16)  # every trial of a study asks
def _digest_of(path: Path, size: int, modified: int) -> str:
    """Return the SHA-256 of a file; `size` and `modified` are part of the cache's key."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_records(
    path: Path, designs: NDArray[np.intp], labels: NDArray[np.generic], images: Iterable[bytes]
) -> None:
    """Write one split: a record for each of `designs`, by its row of `labels` (N, T)."""
    with RecordWriter(path) as writer:
        for key, (design, image) in enumerate(zip(designs, images, strict=True)):
            writer.write(key, labels[design].astype(np.float32), image, id=int(design))
