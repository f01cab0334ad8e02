"""Catalog -> DATASET/: every design decoded once, doubles grouped, split without leaks, packed.

    hangtag pack designs.csv DATASET

The slow part goes shard by shard into DATASET/.pack, so that a killed run goes on where it
stopped; the dataset is then put together from the shards in one quick pass.
"""

import csv
import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hangtag.console import note, track
from hangtag.dataset import images
from hangtag.dataset.config import PackConfig
from hangtag.dataset.dataset_folder import (
    DESIGNS_FILE,
    INFO_FILE,
    OWN_FILES,
    RECORD_FILES,
    REJECTED_FILE,
    TAGS_FILES,
    WORK_FOLDER,
    DatasetInfo,
    fingerprint_of,
    write_records,
)
from hangtag.dataset.recordio import RecordReader, RecordWriter
from hangtag.dataset.workers import UNREACHABLE, map_designs
from hangtag.errors import DatasetError, ImageError, Remedy
from hangtag.library import fingerprints, splits
from hangtag.library.catalog import SPLITS, Catalog, Design
from hangtag.library.near_duplicates import merge_groups, near_duplicate_groups
from hangtag.library.rules import Rules
from hangtag.library.vocabulary import Vocabulary
from hangtag.storage.addresses import S3
from hangtag.storage.files import atomic_path, write_text
from hangtag.storage.locks import only_writer
from hangtag.storage.reading import etags

SHARD_DESIGNS: Final = 512
# What the mark of a file ends in that is not there, or in a bucket that may not be listed.
_GONE: Final = "\0-"
_AWAY_IN_A_ROW: Final = 64

_Result = tuple[bytes, bytes, str] | ImageError  # image, hash, digest: see `prepare_design`


@dataclass(frozen=True)
class PackSummary:
    """What the packer did, for the closing lines."""

    designs: dict[str, int]
    tags: int
    groups: int
    rejected: dict[str, int]
    leaks: int
    """Groups that the catalog's own `split` column puts on several sides."""
    size_bytes: int


@dataclass
class _Prepared:
    """The designs that passed, in catalog order, and what was found out about their pixels."""

    designs: list[Design] = field(default_factory=list)
    sources: list[tuple[Path, int]] = field(default_factory=list)  # shard file, record in it
    hashes: list[bytes] = field(default_factory=list)
    contents: list[str] = field(default_factory=list)
    rejected: list[tuple[str, str, str]] = field(default_factory=list)  # image, reason, message


def pack(
    catalog: Catalog,
    folder: Path,
    config: PackConfig | None = None,
    *,
    rules: Rules | None = None,
    vocabulary: Vocabulary | None = None,
    workers: int = 0,
    overwrite: bool = False,
) -> PackSummary:
    """Pack a catalog into `folder`; the same call again goes on where a killed one stopped.

    `vocabulary` gives the tags, in order, in place of what `rules` and the catalog's own counts
    make. `workers` 0 takes every core. A design that cannot be decoded goes to rejected.csv, as
    does one without any tag; after one that a bucket gave no answer for, or whose file went away
    meanwhile, the same call again packs anew what surrounds it. An earlier dataset stays until the
    new one is decoded. Raises DatasetError when the folder holds another dataset (unless
    `overwrite`), CatalogError and VocabularyError for what cannot be packed at all.
    """
    config, rules, folder = config or PackConfig(), rules or Rules(), Path(folder)
    with only_writer(folder / ".lock", folder):
        marks = _marks(catalog)
        key = _pack_key(catalog, config, rules, vocabulary, marks)
        existing = DatasetInfo.read(folder)
        partial = existing is not None and UNREACHABLE in existing.rejected
        if existing and existing.pack == key and not partial:
            shutil.rmtree(folder / WORK_FOLDER, ignore_errors=True)  # killed before it was removed
            note(f"{folder} is packed already, from this catalog with these settings")
            return summary_of(folder, existing)
        if existing and existing.pack != key and not overwrite:
            raise DatasetError(
                f"{folder} holds a dataset packed from another catalog, other files or other "
                "settings",
                remedy=Remedy.OVERWRITE,
            )
        _refuse_foreign(folder, existing, overwrite)
        if vocabulary is None:  # what is wrong with the counts is told before hours of decoding
            Vocabulary.build(catalog, min_count=config.min_count, rules=rules)
        prepared = _prepare(catalog, folder / WORK_FOLDER, config, marks, workers)
        info = _assemble(prepared, catalog, folder, config, rules, vocabulary, key)
        info.write(folder)
        if UNREACHABLE not in info.rejected:
            shutil.rmtree(folder / WORK_FOLDER)
        return summary_of(folder, info)


def _refuse_foreign(folder: Path, existing: DatasetInfo | None, overwrite: bool) -> None:
    """Keep what somebody else made, such as records in the seed's layout, unless told otherwise."""
    ours = existing is not None or (folder / WORK_FOLDER).exists()
    files = [*(folder / path for path in RECORD_FILES.values()), *(folder / n for n in OWN_FILES)]
    foreign = [] if ours or overwrite else [path for path in files if path.exists()]
    if foreign:
        raise DatasetError(
            f"{foreign[0]} is there, and not by `hangtag pack`", remedy=Remedy.OVERWRITE
        )


def _marks(catalog: Catalog) -> list[str]:
    """Return what tells every design's file from others: its place, size and age, or its ETag."""
    locations = catalog.located()
    away = [location for location in locations if location.startswith(S3)]
    there = etags(away) if away else {}
    return [
        location + (f"\0{there[location]}" if location in there else _state(location))
        for location in locations
    ]


def _state(location: str) -> str:
    try:
        stat = Path(location).stat()
    except OSError:
        return _GONE
    return f"\0{stat.st_size}\0{stat.st_mtime_ns}"


def _pack_key(
    catalog: Catalog,
    config: PackConfig,
    rules: Rules,
    vocabulary: Vocabulary | None,
    marks: list[str],
) -> str:
    """Return what tells one call of the packer from others: rows, settings, rules, state of files.

    Paths and times of files are quicker to compare than their bytes, but tell the same designs on
    another machine apart: for what is in a dataset see `fingerprint_of`.
    """
    digest = hashlib.sha256(catalog.fingerprint().encode())
    settings = [
        asdict(config), rules.aliases, rules.implications, sorted(rules.drop), rules.splits,
    ]  # fmt: skip
    digest.update(json.dumps(settings, sort_keys=True).encode())
    if vocabulary is not None:
        digest.update("\n".join(vocabulary.names).encode())
    for mark in marks:
        digest.update(f"{mark}\n".encode())
    return digest.hexdigest()


def prepare_design(data: bytes, config: PackConfig) -> tuple[bytes, bytes, str]:
    """Turn a design's bytes into (encoded image, perceptual hash, digest of its pixels).

    Raises ImageError. Runs in the worker processes.
    """
    pixels = images.decode(data, config.size, config.max_megapixels)
    if config.flatten == "none":
        encoded = images.encode_png(pixels)
    else:
        encoded = images.encode_jpeg(pixels, (255,) * 3 if config.flatten == "white" else (0,) * 3)
    digest = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()
    return encoded, fingerprints.fingerprint(pixels).tobytes(), digest


def _prepare(
    catalog: Catalog, work: Path, config: PackConfig, marks: list[str], workers: int
) -> _Prepared:
    """Decode every design into shards, skipping the shards that an earlier run finished.

    A shard is known by its files and what decoding depends on: neither tags nor the split cost it.
    """
    starts = range(0, len(catalog), SHARD_DESIGNS)
    shards = [work / f"shard-{number:06d}" for number in range(len(starts))]
    shard_marks = [marks[start : start + SHARD_DESIGNS] for start in starts]
    keys = [_shard_key(config, some) for some in shard_marks]
    missing = [n for n, shard in enumerate(shards) if not _is_done(shard, keys[n])]
    for number in missing:
        if shards[number].with_suffix(".json").exists() and _all_gone(shard_marks[number]):
            raise DatasetError(
                f"{shard_marks[number][0].removesuffix(_GONE)} and the designs after it are not "
                "there, and were packed before; bring their disk back, or start over with another "
                "folder"
            )
    rows = [row for n in missing for row in _shard_rows(catalog, n)]
    done = len(catalog) - len(rows)
    if done and rows:
        note(f"going on after {done:,} designs that an earlier run packed")
    locations = (marks[row].partition("\0")[0] for row in rows)
    results = map_designs(partial(prepare_design, config=config), locations, workers=workers)
    watched = _watched(results, [marks[row] for row in rows])
    counted = track(watched, "packing", total=len(catalog), done=done)
    for number in missing:
        _write_shard(shards[number], keys[number], _shard_rows(catalog, number), counted)
    next(counted, None)  # lets the bar and the workers come to their end
    prepared = _Prepared()
    for number, shard in enumerate(shards):
        _read_shard(shard, catalog, _shard_rows(catalog, number), prepared)
    return prepared


def _all_gone(marks: list[str]) -> bool:
    """Tell whether of a shard's designs none is there; a bucket is no disk that is taken off."""
    local = [mark for mark in marks if not mark.startswith(S3)]
    return bool(local) and all(mark.endswith(_GONE) for mark in local)


def _watched(results: Iterator[_Result], marks: list[str]) -> Iterator[_Result]:
    """Yield the results, those of files that went away meanwhile as UNREACHABLE.

    Raises DatasetError when many in a row are out of reach: a disk was taken off.
    """
    away = 0
    for result, mark in zip(results, marks, strict=True):
        reason = result.reason if isinstance(result, ImageError) else ""
        if reason == "missing" and not mark.endswith(_GONE):
            reason = UNREACHABLE
            result = ImageError(reason, "went away while it was packed")
        away = away + 1 if reason == UNREACHABLE else 0
        if away == _AWAY_IN_A_ROW:
            raise DatasetError(
                f"{away} designs in a row are out of reach, the last of them "
                f"{mark.partition(chr(0))[0]}; bring their disk back, the same command goes on"
            )
        yield result


def _shard_key(config: PackConfig, marks: list[str]) -> str:
    settings = [config.size, config.flatten, config.max_megapixels]
    return hashlib.sha256(json.dumps([settings, marks]).encode()).hexdigest()


def _is_done(shard: Path, key: str) -> bool:
    """Tell whether a shard is whole: finished, and no design in it was out of reach just then."""
    findings = shard.with_suffix(".json")
    if not findings.exists():
        return False
    found = json.loads(findings.read_text())
    if not isinstance(found, dict) or found["key"] != key:
        return False
    return all(one.get("reason") != UNREACHABLE for one in found["designs"])


def _shard_rows(catalog: Catalog, number: int) -> range:
    start = number * SHARD_DESIGNS
    return range(start, min(start + SHARD_DESIGNS, len(catalog)))


def _write_shard(shard: Path, key: str, rows: range, results: Iterator[_Result]) -> None:
    """Write one shard: its images as records, then its findings, whose presence marks it done."""
    findings: list[dict[str, str]] = []
    shard.with_suffix(".json").unlink(missing_ok=True)
    with RecordWriter(shard.with_suffix(".rec")) as writer:
        for row in rows:
            result = next(results)
            if isinstance(result, ImageError):
                findings.append({"reason": result.reason, "message": str(result)})
                continue
            encoded, fingerprint, digest = result
            writer.write(row, 0.0, encoded, id=row)
            findings.append({"hash": fingerprint.hex(), "content": digest})
    write_text(shard.with_suffix(".json"), json.dumps({"key": key, "designs": findings}))


def _read_shard(shard: Path, catalog: Catalog, rows: range, prepared: _Prepared) -> None:
    findings = json.loads(shard.with_suffix(".json").read_text())["designs"]
    record = 0
    for row, finding in zip(rows, findings, strict=True):
        design = catalog.designs[row]
        if "reason" in finding:
            prepared.rejected.append((design.image, finding["reason"], finding["message"]))
            continue
        if design.tags or design.not_tags:
            prepared.designs.append(design)
            prepared.sources.append((shard.with_suffix(".rec"), record))
            prepared.hashes.append(bytes.fromhex(finding["hash"]))
            prepared.contents.append(finding["content"])
        else:
            prepared.rejected.append((design.image, "untagged", "nobody has tagged it yet"))
        record += 1


def _assemble(
    prepared: _Prepared,
    catalog: Catalog,
    folder: Path,
    config: PackConfig,
    rules: Rules,
    vocabulary: Vocabulary | None,
    key: str,
) -> DatasetInfo:
    """Write every file of DATASET/ but dataset.json; return its content."""
    rejected = Counter(reason for _, reason, _ in prepared.rejected)
    if not prepared.designs:
        if not (folder / INFO_FILE).exists():
            _write_rejected(folder / REJECTED_FILE, prepared.rejected)
        _, reason, message = prepared.rejected[0]
        raise DatasetError(
            f"no design could be packed, the first of {len(prepared.rejected)} was {reason} "
            f"({message}); {folder / REJECTED_FILE} says more of a new dataset's"
        )
    if vocabulary is None:
        vocabulary = Vocabulary.build(prepared.designs, min_count=config.min_count, rules=rules)
    labels = vocabulary.label_matrix(prepared.designs)
    groups = _groups(prepared)
    parts, leaks = _parts(prepared.designs, labels, groups, config)
    # From here on an earlier dataset is replaced.
    (folder / INFO_FILE).unlink(missing_ok=True)
    _write_rejected(folder / REJECTED_FILE, prepared.rejected)
    for part, split in enumerate(SPLITS):
        chosen = np.flatnonzero(parts == part)
        path = folder / RECORD_FILES[split]
        if len(chosen):
            values = labels if config.three_valued else labels == 1
            write_records(path, chosen, values, _images(prepared, chosen))
        else:
            path.unlink(missing_ok=True)
            path.with_suffix(".idx").unlink(missing_ok=True)
    vocabulary.write(folder / TAGS_FILES[0])
    _packed_catalog(prepared.designs, catalog, groups, parts).write(folder / DESIGNS_FILE)
    (folder / "output").mkdir(exist_ok=True)
    counts = {split: int((parts == part).sum()) for part, split in enumerate(SPLITS)}
    settings = {"size": config.size, "flatten": config.flatten}
    info = DatasetInfo(
        size=config.size,
        max_megapixels=config.max_megapixels,
        flatten=config.flatten,
        three_valued=config.three_valued,
        split=config.split,
        seed=config.seed,
        catalog=catalog.fingerprint(),
        fingerprint=fingerprint_of(vocabulary.names, labels, parts, prepared.contents, settings),
        pack=key,
        designs={split: count for split, count in counts.items() if count},
        rejected=dict(sorted(rejected.items())),
        groups=len(np.unique(groups)),
        leaks=leaks,
        tags=len(vocabulary),
    )
    return info


def _groups(prepared: _Prepared) -> NDArray[np.int64]:
    """Join near doubles, exact doubles, files that differ in their suffix only (a drawing and what
    was exported from it) and the catalog's own groups.
    """
    hashes = np.frombuffer(b"".join(prepared.hashes), np.uint8).reshape(len(prepared.hashes), -1)
    _, exact = np.unique(prepared.contents, return_inverse=True)
    own = {group: number for number, group in enumerate({d.group: None for d in prepared.designs})}
    named = np.array(
        [own[d.group] if d.group else len(own) + row for row, d in enumerate(prepared.designs)]
    )
    stems = [design.image[: -len(Path(design.image).suffix) or None] for design in prepared.designs]
    _, files = np.unique(stems, return_inverse=True)
    return merge_groups(near_duplicate_groups(hashes), exact, files, named)


def _parts(
    designs: list[Design],
    labels: NDArray[np.int8],
    groups: NDArray[np.int64],
    config: PackConfig,
) -> tuple[NDArray[np.int8], int]:
    """Return the part of every design, and how many groups the catalog's own splits tear apart."""
    fixed = np.array([SPLITS.index(d.split) if d.split else -1 for d in designs])
    parts = splits.split_groups(
        labels == 1, groups, fractions=config.fractions(), fixed=fixed, seed=config.seed
    )
    for part in (0, 1):
        if not (parts == part).any():
            raise DatasetError(
                f"no design is left for {SPLITS[part]}: {len(designs)} designs in "
                f"{len(np.unique(groups))} groups; tag more designs or change --split"
            )
    pairs = np.unique(np.stack([groups, parts.astype(np.int64)]), axis=1)
    return parts, int((np.unique(pairs[0], return_counts=True)[1] > 1).sum())


def _images(prepared: _Prepared, chosen: NDArray[np.intp]) -> Iterator[bytes]:
    """Yield the encoded images of some rows, in order."""
    readers: dict[Path, RecordReader] = {}
    for row in chosen:
        shard, record = prepared.sources[row]
        if shard not in readers:  # rows ascend, so one shard is open at a time
            for reader in readers.values():
                reader.close()
            readers = {shard: RecordReader(shard)}
        yield readers[shard][record].data
    for reader in readers.values():
        reader.close()


def _packed_catalog(
    designs: list[Design], catalog: Catalog, groups: NDArray[np.int64], parts: NDArray[np.int8]
) -> Catalog:
    """Return what was packed; a record's `id` is its row here."""
    rows = tuple(
        Design(d.image, d.tags, d.not_tags, f"g{group}", d.vendor, SPLITS[part])
        for d, group, part in zip(designs, groups, parts, strict=True)
    )
    return Catalog(rows, catalog.root)


def _write_rejected(path: Path, rows: list[tuple[str, str, str]]) -> None:
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("image", "reason", "message"))
        writer.writerows(rows)


def summary_of(folder: Path, info: DatasetInfo) -> PackSummary:
    size = sum(
        (folder / path).stat().st_size for path in RECORD_FILES.values() if (folder / path).exists()
    )
    return PackSummary(info.designs, info.tags, info.groups, info.rejected, info.leaks, size)


def summary_lines(summary: PackSummary, folder: Path) -> Iterator[str]:
    """Yield the closing lines for a person."""
    total = sum(summary.designs.values())
    parts = ", ".join(f"{count:,} {split}" for split, count in summary.designs.items())
    yield f"{total:,} designs ({parts}) in {summary.groups:,} groups, {summary.tags:,} tags"
    if summary.leaks:
        yield (
            f"{summary.leaks:,} groups of doubles lie on several sides, as the catalog's own split "
            "column says: scores will look better than they are"
        )
    if summary.rejected:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in summary.rejected.items())
        left_out = sum(summary.rejected.values())
        yield f"{left_out:,} left out ({reasons}): see {folder / REJECTED_FILE}"
    if UNREACHABLE in summary.rejected:
        yield "the same command again fetches those that were unreachable"
    yield f"{summary.size_bytes / 2**20:,.1f} MiB in {folder}"
