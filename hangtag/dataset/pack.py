"""Catalog -> DATASET/: every design decoded once, near-duplicates grouped, split without leaks.

    hangtag pack designs.csv DATASET

The slow part writes shards into DATASET/.pack, so that a killed run resumes there (`shards`); the
dataset is then assembled from the shards in one quick pass (`assemble`).
"""

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from hangtag.console import note
from hangtag.dataset import shards
from hangtag.dataset.assemble import Assembly, write_rejected
from hangtag.dataset.config import PackConfig
from hangtag.dataset.dataset_folder import (
    INFO_FILE,
    OWN_FILES,
    RECORD_FILES,
    REJECTED_FILE,
    WORK_FOLDER,
    DatasetInfo,
)
from hangtag.dataset.workers import UNREACHABLE
from hangtag.errors import DatasetError, Remedy
from hangtag.library.catalog import Catalog, Design
from hangtag.library.rules import Rules, default_min_count
from hangtag.library.vocabulary import Vocabulary
from hangtag.storage.locks import only_writer


@dataclass(frozen=True)
class PackSummary:
    """What the packer did, for the closing lines."""

    designs: dict[str, int]
    """Per split."""

    tags: int

    groups: int

    rejected: dict[str, int]
    """Designs left out, per reason."""

    leaks: int
    """Groups that the catalog's own `split` column puts into several splits."""

    size_bytes: int
    """Of the record files."""


def pack(
    catalog: Catalog,
    folder: Path,
    config: PackConfig | None = None,
    *,
    tags: Rules | Vocabulary | None = None,
    workers: int = 0,
    overwrite: bool = False,
) -> PackSummary:
    """Pack a catalog into `folder`; the same call again resumes a killed one.

    `tags`: rules for choosing the tags by the catalog's own counts, or a vocabulary that gives
    them, in order. `workers` 0 takes every core. A design that cannot be decoded is listed in
    rejected.csv, as is one without any tag. After a run in which files disappeared or a bucket did
    not answer, the same call packs their shards again. An earlier dataset stays until the new one
    is decoded. Raises DatasetError when the folder holds another dataset (unless `overwrite`),
    CatalogError and VocabularyError for what cannot be packed at all.
    """
    config, folder = config or PackConfig(), Path(folder)
    tags = Rules() if tags is None else tags
    with only_writer(folder / ".lock", folder):
        sources = shards.sources_of(catalog)
        key = pack_key(catalog, config, tags, sources)
        existing = packed_before(folder, key, overwrite)
        if existing is not None:
            shutil.rmtree(folder / WORK_FOLDER, ignore_errors=True)  # killed before it was removed
            return summary_of(folder, existing)
        vocabulary_of(tags, catalog, config)  # raises VocabularyError before hours of decoding
        prepared = shards.prepare(catalog, folder / WORK_FOLDER, config, sources, workers)
        del sources  # of a million designs they are 0.2 GB
        info = assembled(prepared, catalog, folder, config, tags, key)
        if UNREACHABLE not in info.rejected:
            shutil.rmtree(folder / WORK_FOLDER)
        return summary_of(folder, info)


def packed_before(folder: Path, key: str, overwrite: bool) -> DatasetInfo | None:
    """Return what `folder` holds if the same call, `key`, has packed it to the end.

    Raises DatasetError where it holds something else, unless `overwrite`.
    """
    existing = DatasetInfo.read(folder)
    if existing and existing.pack == key and UNREACHABLE not in existing.rejected:
        note(f"{folder} is packed already, from this catalog with these settings")
        return existing
    if not overwrite:
        _refuse_others(folder, existing, key)
    return None


def assembled(
    prepared: shards.Prepared,
    catalog: Catalog,
    folder: Path,
    config: PackConfig,
    tags: Rules | Vocabulary,
    key: str,
) -> DatasetInfo:
    """Write DATASET/ from decoded designs of `catalog`. Raises DatasetError, VocabularyError."""
    _require_designs(prepared, folder)
    assembly = Assembly.of(prepared, vocabulary_of(tags, prepared.designs, config), config)
    assembly.write(folder, catalog, config)
    info = assembly.info(catalog, config, key)
    info.write(folder)
    return info


def vocabulary_of(
    tags: Rules | Vocabulary, designs: Catalog | Sequence[Design], config: PackConfig
) -> Vocabulary:
    """Return the given vocabulary, or the one that rules make of the designs' own tags."""
    if isinstance(tags, Vocabulary):
        return tags
    min_count = config.min_count or default_min_count(len(designs))
    return Vocabulary.build(designs, min_count=min_count, rules=tags)


def _refuse_others(folder: Path, existing: DatasetInfo | None, key: str) -> None:
    """Raise DatasetError where the folder holds another dataset, or files that are not hangtag's.

    Such files are records in the SageMaker layout, or a catalog under the name of one of ours.
    """
    if existing is not None:
        if existing.pack != key:
            raise DatasetError(
                f"{folder} holds a dataset packed from another catalog, other files or other "
                "settings",
                remedy=Remedy.OVERWRITE,
            )
        return
    if (folder / WORK_FOLDER).exists():
        return
    files = [*RECORD_FILES.values(), *map(Path, OWN_FILES)]
    for path in (folder / file for file in files):
        if path.exists():
            raise DatasetError(
                f"{path} exists and was not written by `hangtag pack`", remedy=Remedy.OVERWRITE
            )


def _require_designs(prepared: shards.Prepared, folder: Path) -> None:
    """Raise DatasetError where every design was rejected."""
    if prepared.designs:
        return
    is_new = not (folder / INFO_FILE).exists()
    if is_new:  # the list of an earlier dataset stays with it
        write_rejected(folder, prepared.rejected)
    first = prepared.rejected[0]
    all_listed = f"; {folder / REJECTED_FILE} lists all of them" if is_new else ""
    raise DatasetError(
        f"no design could be packed, the first of {len(prepared.rejected)} was {first.reason} "
        f"({first.message}){all_listed}"
    )


def pack_key(
    catalog: Catalog,
    config: PackConfig,
    tags: Rules | Vocabulary,
    sources: Sequence[shards.Source],
) -> str:
    """Return a digest that recognises the same call: catalog, settings, rules and files.

    Paths and times of files are quicker to compare than their bytes, but differ for the same
    designs on another machine: what identifies a dataset's content is `assemble.fingerprint_of`.
    """
    rules = Rules() if isinstance(tags, Vocabulary) else tags
    digest = hashlib.sha256(catalog.fingerprint().encode())
    min_count = config.min_count or default_min_count(len(catalog))
    settings: list[Any] = [
        asdict(replace(config, min_count=min_count)), rules.aliases, rules.implications,
        sorted(rules.drop), rules.splits,
        *([rules.names] if rules.names else []),
    ]  # fmt: skip
    digest.update(json.dumps(settings, sort_keys=True).encode())
    if isinstance(tags, Vocabulary):
        digest.update("\n".join(tags.names).encode())
    for source in sources:
        digest.update(f"{source.key}\n".encode())
    return digest.hexdigest()


def summary_of(folder: Path, info: DatasetInfo) -> PackSummary:
    """Return what packing `folder` did, from its dataset.json and its record files."""
    size = sum(
        (folder / path).stat().st_size for path in RECORD_FILES.values() if (folder / path).exists()
    )
    return PackSummary(info.designs, info.tags, info.groups, info.rejected, info.leaks, size)


def summary_lines(summary: PackSummary, folder: Path) -> Iterator[str]:
    """Yield the closing lines for a person."""
    total = sum(summary.designs.values())
    splits = ", ".join(f"{count:,} {split}" for split, count in summary.designs.items())
    yield f"{total:,} designs ({splits}) in {summary.groups:,} groups, {summary.tags:,} tags"
    if summary.leaks:
        yield (
            f"{summary.leaks:,} groups of duplicates are in several splits, as the catalog's own "
            "split column says: scores will look better than they are"
        )
    if summary.rejected:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in summary.rejected.items())
        left_out = sum(summary.rejected.values())
        yield f"{left_out:,} left out ({reasons}): see {folder / REJECTED_FILE}"
    if UNREACHABLE in summary.rejected:
        yield "run the same command again to fetch the unreachable designs"
    yield f"{summary.size_bytes / 2**20:,.1f} MiB in {folder}"
