"""A library tagged again: only designs that are new or changed, or all where the model changed.

Beside `tags.jsonl`, `.tags.jsonl.seen` records the size and time of every design that it covers.
Its first line says by which run: model, thresholds and options. Without it, all designs are tagged.
"""

import csv
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hangtag.errors import ConfigError
from hangtag.library.catalog_csv import write_csv
from hangtag.storage.files import atomic_path, read_text, refuse_foreign
from hangtag.storage.locks import only_writer
from hangtag.tagging.bulk import BulkSummary, Selection, Xmp, tag_library
from hangtag.tagging.designs import Located
from hangtag.tagging.model_folder import ModelFolder
from hangtag.tagging.output import CSV_COLUMNS, REJECTED, REJECTED_COLUMNS, is_own_output

Stamp = tuple[int, int]


@dataclass
class Seen:
    """The designs that an output covers, as they were when they were tagged."""

    key: str = ""
    out: Stamp | None = None
    """The output itself: another one was not written by the run that is remembered."""
    designs: dict[tuple[str, str], Stamp] = field(default_factory=dict)
    """By name and location."""

    @classmethod
    def read(cls, path: Path) -> "Seen":
        """Return what is remembered; nothing where the file is missing or damaged."""
        try:
            head, *lines = map(json.loads, read_text(path, ConfigError).splitlines())
            designs = {(name, at): (size, time) for name, at, size, time in lines}
            return cls(head["key"], tuple(head["out"]), designs)
        except (ConfigError, ValueError, KeyError, TypeError):
            return cls()

    def remember(self, out: Path) -> None:
        """Write, whole, what is remembered of `out` as it is now."""
        self.out = _stamp(str(out))
        with atomic_path(_state(out)) as temporary, temporary.open("w", encoding="utf-8") as file:
            file.write(json.dumps({"key": self.key, "out": self.out}) + "\n")
            file.writelines(
                json.dumps([*names, *stamp], ensure_ascii=False) + "\n"
                for names, stamp in self.designs.items()
            )


def tag_changed(
    model: Path | ModelFolder,
    designs: Sequence[Located],
    out: Path,
    selection: Selection,
    *,
    workers: int = 0,
    xmp: Xmp = False,
) -> BulkSummary:
    """Tag designs into `out` as `tag_library` does, but only those that an earlier run did not.

    A design is tagged again when its size or time changed, and all are when the model, its
    thresholds or the options changed. What is no longer among `designs` is left out of `out`. The
    summary counts what is in `out`. Where a model chooses its own precision, `out` keeps that with
    which it began. Raises ConfigError, ModelError.
    """
    seen = Seen.read(_state(out))
    folder = model if isinstance(model, ModelFolder) else ModelFolder.open(model)
    folder = folder.begun(lambda one: seen.key == _key(one, selection, xmp))
    key = _key(folder, selection, xmp)
    stamps = {(one.name, one.location): _stamp(one.location) for one in designs}
    known = seen.designs if seen.key == key and seen.out == _stamp(str(out)) else {}
    changed = [
        one
        for one in designs
        if (stamp := stamps[one.name, one.location]) is None
        or known.get((one.name, one.location)) != stamp
    ]
    if len(changed) == len(designs):
        summary = tag_library(folder, designs, out, selection, workers=workers, xmp=xmp)
        key = _key(replace(folder, asked=summary.precision), selection, xmp)
    else:
        refuse_foreign(out, is_own_output, "hangtag tag")
        with only_writer(out.with_name(f".{out.name}.lock"), out):
            summary = _merged(folder, designs, changed, out, (selection, workers, xmp))
    if xmp == "embed":  # which changed the files
        for one in changed:
            stamps[one.name, one.location] = _stamp(one.location)
    kept = {names: stamp for names, stamp in stamps.items() if stamp is not None}
    Seen(key, None, kept).remember(out)
    return summary


def join_seen(outs: Sequence[Path]) -> Seen | None:
    """Return what several outputs of one run cover together; None where one does not say.

    Raises ConfigError for outputs of different models or options.
    """
    found = [Seen.read(_state(out)) for out in outs]
    known = [(one.key, out) for one, out in zip(found, outs, strict=True) if one.key]
    for key, out in known:
        if key != known[0][0]:
            raise ConfigError(
                f"{out} was tagged by another model, in another precision or with other options "
                f"than {known[0][1].name}; tag it again, on different machines with --precision"
            )
    if len(known) < len(outs):
        return None
    return Seen(known[0][0], None, {name: at for one in found for name, at in one.designs.items()})


def forget(out: Path) -> None:
    """Let the next run into `out` tag all designs."""
    _state(out).unlink(missing_ok=True)


def _state(out: Path) -> Path:
    return out.with_name(f".{out.name}.seen")


def _merged(
    model: ModelFolder,
    designs: Sequence[Located],
    changed: Sequence[Located],
    out: Path,
    options: tuple[Selection, int, Xmp],
) -> BulkSummary:
    """Tag the changed designs into a file of their own, and merge it into `out`."""
    selection, workers, xmp = options
    fresh = out.with_name(f".{out.stem}.new{out.suffix}")
    run = BulkSummary(0, 0, 0, {}, precision=model.precision)
    if changed:
        run = tag_library(model, changed, fresh, selection, workers=workers, xmp=xmp)
    again = {one.name for one in changed}
    names = [one.name for one in designs]
    tagged = _by_name(_records(out), again) | _by_name(_records(fresh), ())
    _write(out, [tagged[name] for name in names if name in tagged])
    rejected = _rejected(out, again) | _rejected(fresh, ())
    rows = [rejected[name] for name in names if name in rejected]
    _write_rejected(out, rows)
    for path in (fresh, fresh.with_suffix(REJECTED)):
        path.unlink(missing_ok=True)
    reasons: dict[str, int] = {}
    for row in rows:
        reasons[row[1]] = reasons.get(row[1], 0) + 1
    kept = [tagged[name] for name in names if name in tagged]
    return replace(
        run,
        tagged=len(kept),
        suggestions=sum(count for _, count, _ in kept),
        rejected=dict(sorted(reasons.items())),
        unchanged=len(designs) - len(changed),
    )


_Record = tuple[str, int, Any]  # name, number of tags, the line or row


def _records(out: Path) -> Iterator[_Record]:
    """Yield what an output holds: a line of JSON, or a row of CSV."""
    if not out.exists():
        return
    is_csv = out.suffix == ".csv"
    with out.open(encoding="utf-8", newline="" if is_csv else "\n") as file:
        if is_csv:
            rows = csv.reader(file)
            next(rows, None)
            for row in rows:
                yield row[0], row[2].count(";") + bool(row[2]), row
            return
        for line in file:
            record = json.loads(line)
            yield record["image"], len(record["tags"]), line


def _by_name(records: Iterable[_Record], left_out: Iterable[str]) -> dict[str, _Record]:
    names = set(left_out)
    return {record[0]: record for record in records if record[0] not in names}


def _write(out: Path, records: Iterable[_Record]) -> None:
    if out.suffix == ".csv":
        write_csv(out, CSV_COLUMNS, (tuple(row) for _, _, row in records))
        return
    with atomic_path(out) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        file.writelines(line for _, _, line in records)


def _rejected(out: Path, left_out: Iterable[str]) -> dict[str, tuple[str, ...]]:
    path, names = out.with_suffix(REJECTED), set(left_out)
    if not path.exists():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))[1:]
    return {row[0]: tuple(row) for row in rows if len(row) == 3 and row[0] not in names}


def _write_rejected(out: Path, rows: Sequence[tuple[str, ...]]) -> None:
    path = out.with_suffix(REJECTED)
    path.unlink(missing_ok=True)
    if rows:
        write_csv(path, REJECTED_COLUMNS, rows)


def _stamp(location: str) -> Stamp | None:
    """Return size in bytes and time in nanoseconds of a file; None for one that is not here."""
    try:
        found = os.stat(location)  # noqa: PTH116  # half a million of them
    except (OSError, ValueError):
        return None
    return found.st_size, found.st_mtime_ns


def _key(folder: ModelFolder, selection: Selection, xmp: Xmp) -> str:
    named = [folder.identity, *folder.key[1:]]
    content = json.dumps([*named, selection.as_json(), xmp])
    return hashlib.sha256(content.encode()).hexdigest()[:32]
