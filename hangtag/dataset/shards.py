"""The slow part of packing: every design decoded once, shard by shard, into DATASET/.pack.

A killed run resumes after its last whole shard. A shard is one pair of files: `.rec` with the
encoded images, then `.json` with what else was found out about them, whose presence marks it done.
"""

import hashlib
import json
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from hangtag.console import note, track
from hangtag.dataset import images
from hangtag.dataset.config import PackConfig
from hangtag.dataset.recordio import RecordReader, RecordWriter
from hangtag.dataset.workers import UNREACHABLE, map_designs
from hangtag.errors import DatasetError, ImageError
from hangtag.library import fingerprints
from hangtag.library.catalog import Catalog, Design
from hangtag.storage.addresses import S3
from hangtag.storage.files import write_text
from hangtag.storage.reading import etags

SHARD_DESIGNS: Final = 512
DIGEST_BYTES: Final = 32
_UNREACHABLE_IN_A_ROW: Final = 64  # so many, and the disk was unplugged


@dataclass(frozen=True, slots=True)
class Source:
    """The file of a design, and the state in which packing found it."""

    location: str
    """Path or `s3://` address."""

    version: str | None
    """Size and modification time, or the ETag in a bucket; None where the file is missing or the
    bucket may not be listed."""

    @property
    def key(self) -> str:
        """Location and version as one text: it changes when the file does."""
        return f"{self.location}\0{'-' if self.version is None else self.version}"

    @property
    def is_local(self) -> bool:
        """Whether the file is on a disk, not in a bucket."""
        return not self.location.startswith(S3)


def sources_of(catalog: Catalog) -> list[Source]:
    """Return the file of every design of a catalog, in order."""
    locations = catalog.located()
    remote = [location for location in locations if location.startswith(S3)]
    found = etags(remote) if remote else {}
    return [
        Source(location, found[location] if location in found else _version(location))
        for location in locations
    ]


def _version(location: str) -> str | None:
    try:
        stat = Path(location).stat()
    except OSError:
        return None
    return f"{stat.st_size}\0{stat.st_mtime_ns}"


@dataclass(frozen=True)
class PreparedImage:
    """A design as the dataset stores it."""

    encoded: bytes
    """PNG or JPEG."""

    fingerprint: bytes
    """Perceptual hash, by which near-duplicates are found."""

    digest: str
    """SHA-256 of its decoded pixels."""


@dataclass(frozen=True)
class Rejection:
    """A design that was left out: one row of rejected.csv."""

    image: str
    reason: str
    message: str


@dataclass
class Prepared:
    """The designs that can be packed, in catalog order, and what is known of their pixels."""

    designs: list[Design] = field(default_factory=list)
    records: "array[int]" = field(default_factory=lambda: array("i"))
    """Position of every design's image in its shard file."""
    files: list[tuple[int, Path]] = field(default_factory=list)
    """The shard files in order, each with the position of its first design in `designs`."""
    hashes: bytearray = field(default_factory=bytearray)
    """Their fingerprints, of FINGERPRINT_BYTES each, in one piece: the most of what is held."""
    digests: bytearray = field(default_factory=bytearray)
    """SHA-256 of their pixels, of DIGEST_BYTES each."""
    rejected: list[Rejection] = field(default_factory=list)

    def images(self, rows: Sequence[int]) -> Iterator[bytes]:
        """Yield the encoded images of some designs, by their ascending positions."""
        ends = [first for first, _ in self.files[1:]] + [len(self.designs)]
        for (first, path), end in zip(self.files, ends, strict=True):
            inside = rows[bisect_left(rows, first) : bisect_left(rows, end)]
            if inside:
                with RecordReader(path) as reader:
                    for row in inside:
                        yield reader[self.records[row]].data


def prepare_image(data: bytes, config: PackConfig) -> PreparedImage:
    """Decode a design and encode it for the dataset. Raises ImageError.

    Runs in the worker processes.
    """
    pixels = images.decode(data, config.size, config.max_megapixels)
    if config.flatten == "none":
        encoded = images.encode_png(pixels)
    else:
        encoded = images.encode_jpeg(pixels, (255,) * 3 if config.flatten == "white" else (0,) * 3)
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(pixels.data)
    fingerprint = fingerprints.fingerprint(pixels).tobytes()
    return PreparedImage(encoded, fingerprint, digest.hexdigest())


def prepare(
    catalog: Catalog, work: Path, config: PackConfig, sources: Sequence[Source], workers: int
) -> Prepared:
    """Decode every design into shards, as `decode` does, and return what they hold."""
    prepared = Prepared()
    for shard in decode(work, config, sources, workers):
        shard.read(catalog, prepared)
    return prepared


def decode(
    work: Path, config: PackConfig, sources: Sequence[Source], workers: int
) -> "list[Shard]":
    """Decode every design into shards in `work`, except those that an earlier run finished.

    `sources` are the files of the designs, in order. Raises DatasetError where files that an
    earlier run decoded, or many in a row, have become unreachable.
    """
    shards = [
        Shard.of(work, start, sources[start : start + SHARD_DESIGNS], config)
        for start in range(0, len(sources), SHARD_DESIGNS)
    ]
    missing = [shard for shard in shards if not shard.is_done()]
    for shard in missing:
        shard.check_disk()
    pending = [source for shard in missing for source in shard.sources]
    done = len(sources) - len(pending)
    if done and pending:
        note(f"resuming: an earlier run packed {done:,} designs")
    locations = (source.location for source in pending)
    results = map_designs(partial(prepare_image, config=config), locations, workers=workers)
    counted = track(_watched(results, pending), "packing", total=len(sources), done=done)
    for shard in missing:
        shard.write(counted)
    next(counted, None)  # ends the progress bar and the workers
    return shards


def _watched(
    results: Iterator[PreparedImage | ImageError], sources: Sequence[Source]
) -> Iterator[PreparedImage | ImageError]:
    """Yield the results; files that disappeared while packing get the reason UNREACHABLE.

    Raises DatasetError when many in a row are unreachable: a disk was unplugged.
    """
    in_a_row = 0
    for result, source in zip(results, sources, strict=True):
        reason = result.reason if isinstance(result, ImageError) else ""
        if reason == "missing" and source.version is not None:
            reason = UNREACHABLE
            result = ImageError(reason, "disappeared while it was packed")
        in_a_row = in_a_row + 1 if reason == UNREACHABLE else 0
        if in_a_row == _UNREACHABLE_IN_A_ROW:
            raise DatasetError(
                f"{in_a_row} designs in a row are unreachable, the last of them "
                f"{source.location}; reconnect their disk and run the same command again to resume"
            )
        yield result


def decoding_key(sources: Sequence[Source], config: PackConfig) -> str:
    """Return a digest of files and of the settings that decoding depends on."""
    settings = [config.size, config.flatten, config.max_megapixels]
    content = json.dumps([settings, [source.key for source in sources]])
    return hashlib.sha256(content.encode()).hexdigest()


@dataclass(frozen=True)
class Shard:
    """Up to SHARD_DESIGNS designs that are decoded and stored together."""

    path: Path
    """Without suffix."""

    start: int
    """Position of the first design in the catalog."""

    sources: Sequence[Source]

    key: str
    """Digest of the files and of the settings that decoding depends on: after a change of tags or
    of the split, the shard is used again."""

    @classmethod
    def of(cls, work: Path, start: int, sources: Sequence[Source], config: PackConfig) -> "Shard":
        """Return the shard of some designs in the folder `work`."""
        path = work / f"shard-{start // SHARD_DESIGNS:06d}"
        return cls(path, start, sources, decoding_key(sources, config))

    @property
    def records(self) -> Path:
        """The images."""
        return self.path.with_suffix(".rec")

    @property
    def findings(self) -> Path:
        """Hash and digest of every design, or why it was rejected."""
        return self.path.with_suffix(".json")

    def is_done(self) -> bool:
        """Return whether the shard was finished, and no design in it was unreachable then."""
        if not self.findings.exists():
            return False
        found = json.loads(self.findings.read_text())
        if not isinstance(found, dict) or found["key"] != self.key:
            return False
        return all(finding.get("reason") != UNREACHABLE for finding in found["designs"])

    def check_disk(self) -> None:
        """Raise DatasetError where an earlier run read local designs and now none is there."""
        local = [source for source in self.sources if source.is_local]
        gone = local and all(source.version is None for source in local)
        if gone and self.findings.exists():
            raise DatasetError(
                f"{self.sources[0].location} and the designs after it are missing, and were packed "
                "before; reconnect their disk, or pack into another folder"
            )

    def write(self, results: Iterator[PreparedImage | ImageError]) -> None:
        """Write the next results, one for each design."""
        findings: list[dict[str, str]] = []
        self.findings.unlink(missing_ok=True)
        with RecordWriter(self.records) as writer:
            for row in range(self.start, self.start + len(self.sources)):
                result = next(results)
                if isinstance(result, ImageError):
                    findings.append({"reason": result.reason, "message": str(result)})
                    continue
                writer.write(row, 0.0, result.encoded, id=row)
                findings.append({"hash": result.fingerprint.hex(), "content": result.digest})
        write_text(self.findings, json.dumps({"key": self.key, "designs": findings}))

    def read(self, catalog: Catalog, prepared: Prepared) -> None:
        """Add the shard's designs to `prepared`, and those left out to its rejections."""
        findings = json.loads(self.findings.read_text())["designs"]
        prepared.files.append((len(prepared.designs), self.records))
        record = 0
        for row, finding in enumerate(findings, start=self.start):
            design = catalog.designs[row]
            if "reason" in finding:
                rejection = Rejection(design.image, finding["reason"], finding["message"])
                prepared.rejected.append(rejection)
                continue
            if design.tags or design.not_tags:
                prepared.designs.append(design)
                prepared.records.append(record)
                prepared.hashes += bytes.fromhex(finding["hash"])
                prepared.digests += bytes.fromhex(finding["content"])
            else:
                prepared.rejected.append(
                    Rejection(design.image, "untagged", "nobody has tagged it yet")
                )
            record += 1
