"""A packed dataset in a bucket, and hyperparameters checked against it before a job is paid for."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from hangtag.console import note
from hangtag.dataset.dataset_folder import (
    DESIGNS_FILE,
    INFO_FILE,
    RECORD_FILES,
    TAGS_FILES,
    DatasetInfo,
)
from hangtag.errors import ConfigError, DatasetError
from hangtag.library.vocabulary import Vocabulary
from hangtag.sagemaker.hyperparameters import config_of, from_hyperparameters
from hangtag.storage import s3
from hangtag.storage.addresses import S3
from hangtag.storage.parts import complete, parts_among


@dataclass(frozen=True)
class PackedDataset:
    """What a bucket's dataset declares, without its records."""

    address: str
    info: DatasetInfo | None
    tags: int | None
    extra_files: tuple[str, ...]
    has_parts: bool = False
    """Whether a split is in several files, train-00000-of-00016.rec."""

    @classmethod
    def at(cls, address: str) -> "PackedDataset":
        """Read `s3://BUCKET/PREFIX`. Raises ConfigError, DatasetError, StorageError, OSError."""
        if not address.startswith(S3):
            raise ConfigError(
                f"{address}: a job reads its dataset from a bucket; write it there with "
                f"`hangtag pack CATALOG s3://BUCKET/PREFIX`, or copy the folder, and name that"
            )
        address = address.rstrip("/")
        next(s3.listed(address), None)  # raises where the bucket does not exist
        several = [_record_files(address, split) > 1 for split in ("train", "validation")]
        tags_file = next((n for n in TAGS_FILES if s3.head(f"{address}/{n}")), None)
        info_file = INFO_FILE if s3.head(f"{address}/{INFO_FILE}") else None
        files = tuple(name for name in (tags_file, info_file) if name)
        # Holds the reviewed tags, which records of 0 and 1 cannot express.
        designs_file = (DESIGNS_FILE,) if s3.head(f"{address}/{DESIGNS_FILE}") else ()
        with tempfile.TemporaryDirectory() as folder:
            for name in files:
                (Path(folder) / name).write_bytes(s3.read(f"{address}/{name}"))
            info = DatasetInfo.read(Path(folder))
            tags = len(Vocabulary.read(Path(folder) / tags_file)) if tags_file else None
        return cls(address, info, tags, files + designs_file, any(several))

    @property
    def designs(self) -> int | None:
        """The number of training designs, if dataset.json declares it."""
        return self.info.designs.get("train") if self.info else None


def _record_files(address: str, split: str) -> int:
    """Return the number of record files of a split. Raises DatasetError without all of them."""
    path = PurePosixPath(RECORD_FILES[split].as_posix())
    names = {PurePosixPath(one.key).name for one in s3.listed(f"{address}/{path.parent}/")}
    if path.name in names:
        return 1
    parts = parts_among([path.with_name(name) for name in names], path)
    if not parts:
        raise DatasetError(f"{address} holds no {path}; `hangtag pack CATALOG {address}` makes it")
    return len(complete(parts, path, DatasetError, f"copy them to {address}/{path.parent}"))


def built_in_settings(dataset: PackedDataset, given: Mapping[str, str]) -> dict[str, str]:
    """Return the hyperparameters of SageMaker's image classification, with the counts it needs.

    Raises ConfigError for unknown names, values out of range, counts that are wrong or unknown, for
    records in several files, and for designs with transparency, which the algorithm would drop.
    """
    if dataset.info is not None and dataset.info.flatten == "none":
        raise ConfigError(
            f"{dataset.address} keeps transparency, which the built-in algorithm drops: the colour "
            "below it would show; pack another one with `--flatten white`"
        )
    if dataset.has_parts:
        raise ConfigError(
            f"{dataset.address} has several record files of a split, and the built-in algorithm "
            f"reads one; write it with one `hangtag pack`, or train with hangtag's container"
        )
    found = dict(given)
    for name, counted in (
        ("num_classes", dataset.tags),
        ("num_training_samples", dataset.designs),
    ):
        if counted is None and name not in found:
            raise ConfigError(
                f"{dataset.address} does not declare {name}: give it with --set {name}=NUMBER"
            )
        if counted is not None and found.setdefault(name, str(counted)) != str(counted):
            raise ConfigError(
                f"{name} = {found[name]}, but {dataset.address} has {counted}: leave it out"
            )
    found.setdefault("multi_label", "1")
    config, _ = from_hyperparameters(found, tags=dataset.tags or 1, designs=dataset.designs or 1)
    designs = int(found["num_training_samples"])
    if config.batch_size is not None and config.batch_size > designs:
        raise ConfigError(
            f"mini_batch_size = {config.batch_size}, but there are {designs} training designs"
        )
    return found


def own_settings(
    dataset: PackedDataset, given: Mapping[str, str], instances: int = 1
) -> dict[str, str]:
    """Return the hyperparameters of hangtag's container. Raises ConfigError for invalid ones."""
    config, notes = config_of(given, tags=dataset.tags or 1, designs=dataset.designs or 1)
    if config.freeze and instances > 1:
        raise ConfigError("freeze: a tag head alone trains on one machine, give --instances 1")
    for line in notes:
        note(line)
    return dict(given)
