"""The channels of a SageMaker training job -> DATASET/, in each form that SageMaker's image
classification takes: RecordIO, images with lists, augmented manifests.

Source: the SageMaker developer guide, "Image Classification Algorithm", input interface.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from hangtag.console import note
from hangtag.dataset.config import PackConfig
from hangtag.dataset.dataset_folder import (
    DESIGNS_FILE,
    INFO_FILE,
    RECORD_FILES,
    TAGS_FILES,
    record_files,
)
from hangtag.dataset.pack import pack
from hangtag.dataset.recordio import RecordReader
from hangtag.errors import CatalogError, DatasetError
from hangtag.library.catalog import SPLITS, Catalog
from hangtag.library.lst import from_lst, label_columns
from hangtag.library.manifest import from_manifest
from hangtag.library.vocabulary import Vocabulary
from hangtag.storage.files import read_text, write_text
from hangtag.storage.parts import complete, part_of, parts_among

_MANIFESTS: Final = (".manifest", ".jsonl", ".json")
_CLASS_ID: Final = "label-format=class-id"


def dataset_of(
    channels: Path, declared: Mapping[str, Any], work: Path, *, packed_size: int = 256
) -> Path:
    """Return the dataset in a job's channels, assembled in `work` if needed.

    `channels`: the folder with a folder per channel; `declared`: inputdataconfig.json. Images are
    packed at `packed_size` pixels. Raises DatasetError, CatalogError, VocabularyError.
    """
    for name, channel in declared.items():
        if channel.get("TrainingInputMode") == "Pipe":
            raise DatasetError(f"channel {name} is a pipe; choose input mode File")
        if channel.get("S3DistributionType") == "ShardedByS3Key":
            raise DatasetError(
                f"channel {name} is sharded, but every host shuffles all designs; choose "
                "FullyReplicated"
            )
    for channel in sorted(channels.glob("*/")):
        if record_files(channel, "train"):
            return channel
    missing = [split for split in SPLITS[:2] if not (channels / split).is_dir()]
    if missing:
        there = ", ".join(sorted(path.name for path in channels.glob("*/"))) or "none"
        raise DatasetError(f"no channel {' and '.join(missing)} among the channels ({there})")
    tags = _single(channels, TAGS_FILES)
    if (channels / "train_lst").is_dir():
        return _from_lists(channels, tags, work, packed_size)
    if any(_rec_files(channels / "train")):
        return _linked(channels, tags, work)
    return _from_manifests(channels, declared, tags, work, packed_size)


def _rec_files(channel: Path) -> list[Path]:
    return sorted(channel.rglob("*.rec"))


def _linked(channels: Path, tags: Path | None, work: Path) -> Path:
    """Link the record files into the layout of a dataset."""
    shutil.rmtree(work, ignore_errors=True)
    for split, target in RECORD_FILES.items():
        files = _rec_files(channels / split)
        if not files and split == "test":
            continue
        (work / target).parent.mkdir(parents=True)
        for link, file in _as_named(files, split, work / target).items():
            link.symlink_to(file)
            if (index := file.with_suffix(".idx")).exists():
                link.with_suffix(".idx").symlink_to(index)
    for name in (INFO_FILE, DESIGNS_FILE):
        found = _single(channels, (name,))
        if found is not None:
            (work / name).symlink_to(found)
    if tags is not None:
        (work / tags.name).symlink_to(tags)
    else:
        with RecordReader(record_files(work, "train")[0]) as records:
            _number_tags(work, records.labels().shape[1])
    return work


def _as_named(files: Sequence[Path], split: str, target: Path) -> dict[Path, Path]:
    """Return the record files of a channel by the paths that they have in a dataset.

    One of any name, or all parts of one, as train-00000-of-00016.rec. Raises DatasetError.
    """
    whole = {file.with_name(f"{part_of(file)}{file.suffix}") for file in files if part_of(file)}
    parts = parts_among(files, next(iter(whole))) if len(whole) == 1 else {}
    if parts and len(parts) == len(files):
        complete(parts, next(iter(whole)), DatasetError, f"copy them into channel {split}")
        return {part.beside(target): file for part, file in parts.items()}
    if len(files) != 1:
        raise DatasetError(
            f"channel {split} holds {len(files)} .rec files; one is needed, or all parts of one, "
            f"as {target.stem}-00000-of-{len(files):05d}.rec"
        )
    return {target: files[0]}


def _number_tags(work: Path, count: int) -> Path:
    """Write a tags file for a job without one: SageMaker's image classification needs no names."""
    note(f"no channel has tags.json or tags.txt; the {count} tags are named by their numbers")
    write_text(work / "tags.txt", "".join(f"tag {number}\n" for number in range(count)))
    return work / "tags.txt"


def _from_lists(channels: Path, tags: Path | None, work: Path, packed_size: int) -> Path:
    catalogs = []
    for split in SPLITS[:2]:
        lists = sorted((channels / f"{split}_lst").glob("*.lst"))
        if len(lists) != 1:
            raise DatasetError(f"channel {split}_lst holds {len(lists)} .lst files; one is needed")
        if tags is None:
            tags = _number_tags(work.parent, label_columns(lists[0]))
        catalogs.append(from_lst(lists[0], tags_file=tags, images=channels / split))
    assert tags is not None
    return _packed(catalogs, Vocabulary.read(tags), work, packed_size)


def _from_manifests(
    channels: Path, declared: Mapping[str, Any], tags: Path | None, work: Path, packed_size: int
) -> Path:
    catalogs = []
    for split in SPLITS[:2]:
        files = [
            path
            for path in sorted((channels / split).iterdir())
            if path.is_file() and path.suffix in _MANIFESTS and path.name not in TAGS_FILES
        ]
        if len(files) != 1:
            raise DatasetError(
                f"channel {split} holds no .rec file and {len(files)} manifests; one of either is"
                " needed, or images with a channel train_lst"
            )
        kind = str(declared.get(split, {}).get("ContentType", "")).replace(" ", "")
        catalogs.append(
            from_manifest(
                files[0],
                tags_file=tags,
                images=channels / split,
                label_format="class-id" if _CLASS_ID in kind else None,
            )
        )
    vocabulary = None if tags is None else Vocabulary.read(tags)
    return _packed(catalogs, vocabulary, work, packed_size)


def _packed(
    catalogs: list[Catalog], vocabulary: Vocabulary | None, work: Path, packed_size: int
) -> Path:
    """Pack the designs of both channels, each into the split of its channel."""
    designs = tuple(
        replace(design, image=catalog.location(design), split=split)
        for split, catalog in zip(SPLITS, catalogs, strict=False)
        for design in catalog
    )
    config = PackConfig(size=packed_size, min_count=1)
    # `work` is the job's own: what another job on this machine left there is replaced.
    pack(Catalog(designs, work), work, config, tags=vocabulary, overwrite=True)
    return work


def _single(channels: Path, names: tuple[str, ...]) -> Path | None:
    """Return the file with one of these names in the channels; copies must be equal."""
    found = [path for name in names for path in sorted(channels.glob(f"*/{name}"))]
    texts = {path.name: read_text(path, CatalogError) for path in found}
    for path in found:
        if read_text(path, CatalogError) != texts[path.name]:
            raise DatasetError(f"the channels hold different files {path.name}; give one")
    return found[0] if found else None
