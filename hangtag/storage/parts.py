"""One job as n parts: which part a run does, and the files in which parts lie.

hangtag tag MODEL LIBRARY --out tags.jsonl --shard 3/16     ->  tags-00003-of-00016.jsonl
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Final, TypeVar

from hangtag.errors import ConfigError, HangtagError

T = TypeVar("T")
P = TypeVar("P", bound=PurePath)

MOST: Final = 99_999  # that five digits can number
_NAME: Final = re.compile(r"(.+)-([0-9]{5})-of-([0-9]{5})")
_SHOWN: Final = 5


@dataclass(frozen=True, order=True)
class Part:
    """One of `count` parts of a job, `index` from 0."""

    count: int
    index: int

    @classmethod
    def parse(cls, text: str) -> "Part":
        """Read `3/16`. Raises ConfigError for anything but 0/n to n-1/n."""
        found = re.fullmatch(r"([0-9]{1,5})/([0-9]{1,5})", text)
        if found is None or not int(found[1]) < int(found[2]):
            last = f"{int(found[2]) - 1}/{found[2]}" if found and int(found[2]) else "15/16"
            raise ConfigError(
                f"--shard {text}: write which of how many, from 0/{last.partition('/')[2]} to "
                f"{last}"
            )
        return cls(int(found[2]), int(found[1]))

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    @property
    def label(self) -> str:
        """As in names of files: 00003-of-00016."""
        return f"{self.index:05d}-of-{self.count:05d}"

    def of(self, items: Sequence[T]) -> Sequence[T]:
        """Return this part of the items; all parts in order are the whole, and differ by 1."""
        total = len(items)
        return items[total * self.index // self.count : total * (self.index + 1) // self.count]

    def beside(self, path: P) -> P:
        """Return the file of this part of `path`: a.csv -> a-00003-of-00016.csv."""
        return path.with_name(f"{path.stem}-{self.label}{path.suffix}")


def part_files(path: Path, folders: Iterable[Path] = ()) -> dict[Part, Path]:
    """Return the files that hold parts of `path`, in order, from its folder and from `folders`.

    Folders in those folders are searched too. Raises ConfigError for parts of different counts and
    for one part that lies in two places.
    """
    files = list(path.parent.glob(f"*{path.suffix}"))
    for folder in folders:
        files += folder.rglob(f"*{path.suffix}")
    return parts_among({file.absolute(): file for file in files}.values(), path)


def parts_among(files: Iterable[P], path: P) -> dict[Part, P]:
    """Return those of some files that hold parts of `path`, in order. Raises as `part_files`."""
    found: dict[Part, P] = {}
    for file in sorted(files):
        match = _NAME.fullmatch(file.stem)
        if match is None or match[1] != path.stem or file.suffix != path.suffix:
            continue
        if not int(match[2]) < int(match[3]):
            continue
        part = Part(int(match[3]), int(match[2]))
        if part in found:
            raise ConfigError(f"{found[part]} and {file} are the same shard; remove one of them")
        found[part] = file
    counts = sorted({part.count for part in found})
    if len(counts) > 1:
        raise ConfigError(
            f"{path}: there are shards of {counts[0]} and of {counts[1]}; remove those that are "
            "not meant"
        )
    return dict(sorted(found.items()))


def part_of(file: PurePath) -> str:
    """Return the stem of the file that a file is a part of; empty where its name says nothing."""
    match = _NAME.fullmatch(file.stem)
    return match[1] if match else ""


def all_parts(
    path: Path, folders: Iterable[Path] = (), error: type[HangtagError] = ConfigError,
    remedy: str = "run them again, with --shard",
) -> list[Path]:  # fmt: skip
    """Return the files of all parts of `path`, in order: see `part_files`.

    Raises `error` where there is none or where some are missing.
    """
    return complete(part_files(path, folders), path, error, remedy)


def complete(found: Mapping[Part, P], path: P, error: type[HangtagError], remedy: str) -> list[P]:
    """Return the files of all parts of `path`. Raises `error` where some are missing."""
    if not found:
        example = Part(16, 3).beside(path)
        raise error(f"{path}: there are no shards of it, such as {example.name}")
    count = next(iter(found)).count
    missing = [str(part) for n in range(count) if (part := Part(count, n)) not in found]
    if missing:
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        raise error(
            f"{path}: {len(missing)} of {count} shards are missing: {', '.join(missing[:_SHOWN])}"
            f"{more}; {remedy}"
        )
    return list(found.values())
