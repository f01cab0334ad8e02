"""A library tagged again: only designs that are new or changed, or all where the model changed.

Beside `tags.jsonl`, `.tags.jsonl.seen` records the size and time of every design that it covers.
Its first line says by which run: model, thresholds and options. Without it, all designs are tagged.
"""

import csv
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hangtag.console import note
from hangtag.library.catalog_csv import write_csv
from hangtag.storage.files import atomic_path, refuse_foreign
from hangtag.storage.locks import only_writer
from hangtag.tagging.bulk import (
    BulkSummary,
    journal_kind,
    journal_of,
    key_of,
    kind_of,
    run_library,
)
from hangtag.tagging.designs import Located
from hangtag.tagging.metadata import Xmp, stamp_of
from hangtag.tagging.model_folder import ModelFolder
from hangtag.tagging.output import (
    CSV_COLUMNS,
    REJECTED,
    REJECTED_COLUMNS,
    Stamp,
    TaggedDesign,
    beginning_of,
    designs_in,
    is_own_output,
    write_rejected,
    write_tagged,
)
from hangtag.tagging.parquet import read_parquet, write_parquet
from hangtag.tagging.seen import AGAIN, Names, Seen, state_of
from hangtag.tagging.selection import Selection


def tag_changed(
    model: Path | ModelFolder,
    designs: Sequence[Located],
    out: Path,
    selection: Selection,
    *,
    workers: int = 0,
    xmp: Xmp = False,
    retry: bool = True,
) -> BulkSummary:
    """Tag designs into `out` as `run_library` does, but only those that an earlier run did not.

    A design is tagged again when its size or time changed, and with `retry` when its metadata could
    not be written; all are when the model, its thresholds or the options changed. What is no longer
    among `designs` is left out of `out`. The summary counts what is in `out`. Where a model chooses
    its own precision, `out` keeps that with which it began. Raises ConfigError, ModelError.
    """
    folder = ModelFolder.of(model)
    earlier = Seen.read(state_of(out))
    folder = folder.begun(lambda one: _is_begun(kind_of(one, selection, xmp), earlier, out))
    kind = kind_of(folder, selection, xmp)
    now = Seen(kind, None, _stamps(designs))
    seen = _still_true(earlier, now, out, retry=retry)
    changed = [one for one in designs if (one.name, one.location) not in seen.designs]
    is_all = len(changed) == len(designs)
    key = key_of(folder, changed, selection, xmp)
    resumed = {journal_of(out if is_all else _fresh(out)): key}
    found = {} if earlier.key == AGAIN else _from_killed_runs(out, now, resumed)
    if found:
        _take_over(found, designs, out, seen)
        changed = [one for one in changed if (one.name, one.location) not in seen.designs]
        is_all = False
    options: dict[str, Any] = {"workers": workers, "xmp": xmp}
    if is_all:
        summary, journal = run_library(folder, designs, out, selection, **options)
        _apply(journal, changed, now)
        now.remember(out)
        journal.path.unlink()
        return summary
    refuse_foreign(out, is_own_output, "hangtag tag")
    with only_writer(out.with_name(f".{out.name}.lock"), out):
        run = BulkSummary(0, 0, 0, {}, precision=folder.precision)
        fresh = _fresh(out)
        if changed:
            run, journal = run_library(folder, changed, fresh, selection, **options)
            _apply(journal, changed, now)
        now.unwritten |= seen.unwritten & now.designs.keys()
        merged = _merge(out, designs, {one.name for one in changed})
        now.remember(out)
        for path in (fresh, fresh.with_suffix(REJECTED), journal_of(fresh)):
            path.unlink(missing_ok=True)
    return replace(
        run,
        tagged=merged.tagged,
        suggestions=merged.suggestions,
        rejected=merged.rejected,
        unchanged=len(designs) - len(changed),
    )


def _is_begun(kind: str, earlier: Seen, out: Path) -> bool:
    """Return whether an earlier run of this kind left its output, or its journal when killed."""
    begun = map(beginning_of, (journal_of(out), journal_of(_fresh(out))))
    return earlier.key == kind or journal_kind(kind) in [one[1] for one in begun if one]


def _stamps(designs: Iterable[Located]) -> dict[Names, Stamp]:
    stamps = (((one.name, one.location), stamp_of(one.location)) for one in designs)
    return {names: stamp for names, stamp in stamps if stamp is not None}


def _still_true(seen: Seen, now: Seen, out: Path, *, retry: bool) -> Seen:
    """Return what an earlier run of this kind remembered and what is as it was then."""
    if seen.key != now.key or seen.out != stamp_of(str(out)):
        return Seen(now.key)
    again = seen.unwritten if retry else set()
    same = {names: at for names, at in seen.designs.items() if now.designs.get(names) == at}
    kept = {names: at for names, at in same.items() if names not in again}
    return Seen(now.key, None, kept, seen.unwritten & kept.keys())


def _apply(journal: Iterable[TaggedDesign], designs: Sequence[Located], now: Seen) -> None:
    """Note what a run did with the files of `designs`: tags embedded, or metadata not written."""
    names_of = {one.name: (one.name, one.location) for one in designs}
    for design in journal:
        names = names_of[design.image]
        if design.stamp is not None:
            now.designs[names] = design.stamp
        if design.is_unwritten:
            now.unwritten.add(names)


def _from_killed_runs(
    out: Path, now: Seen, resumed: Mapping[Path, str]
) -> dict[Names, TaggedDesign]:
    """Return what killed runs of this kind, but of other designs, have tagged.

    A run that `resumed` (key by journal) names is resumed as it is. Designs that may have changed
    since the run began are left out.
    """
    names_of = {names[0]: names for names in now.designs}
    journals: dict[Path, int] = {}
    is_resumed = True
    for journal in (journal_of(out), journal_of(_fresh(out))):
        key, kind, began = beginning_of(journal) or ("", "", 0)
        if kind == journal_kind(now.key):
            journals[journal] = began
            is_resumed = is_resumed and resumed.get(journal) == key
    found: dict[Names, TaggedDesign] = {}
    for journal, began in () if is_resumed else journals.items():
        for design in designs_in(journal):
            names = names_of.get(design.image)
            if names and _is_unchanged(design, now.designs[names], names[1], began):
                found[names] = design
    return found


def _is_unchanged(design: TaggedDesign, stamp: Stamp, location: str, began: int) -> bool:
    if design.stamp is not None:
        return design.stamp == stamp
    return max(stamp[1], os.stat(location).st_ctime_ns) < began  # noqa: PTH116


def _take_over(
    found: Mapping[Names, TaggedDesign], designs: Sequence[Located], out: Path, seen: Seen
) -> None:
    """Move what killed runs have tagged into `out`, and remember it in `seen` as well."""
    note(f"resuming: an earlier run of other designs tagged {len(found):,} of these")
    refuse_foreign(out, is_own_output, "hangtag tag")
    fresh = _fresh(out)
    with only_writer(out.with_name(f".{out.name}.lock"), out):
        write_tagged(fresh, found.values())
        write_rejected(fresh.with_suffix(REJECTED), found.values())
        seen.designs |= _stamps(one for one in designs if (one.name, one.location) in found)
        seen.unwritten |= {names for names, design in found.items() if design.is_unwritten}
        covered = [one for one in designs if (one.name, one.location) in seen.designs]
        _merge(out, covered, {name for name, _ in found})
        seen.remember(out)
        journals = (journal_of(out), journal_of(fresh))
        for path in (fresh, fresh.with_suffix(REJECTED), *journals):
            path.unlink(missing_ok=True)


def _fresh(out: Path) -> Path:
    return out.with_name(f".{out.stem}.new{out.suffix}")


def _merge(out: Path, designs: Sequence[Located], again: set[str]) -> BulkSummary:
    """Write what `out` and the file of fresh tags hold of `designs`; `again` are in the latter."""
    fresh, names = _fresh(out), [one.name for one in designs]
    tagged = _by_name(_records(out), again) | _by_name(_records(fresh), ())
    kept = [tagged[name] for name in names if name in tagged]
    _write(out, kept)
    rejected = _rejected(out, again) | _rejected(fresh, ())
    rows = [rejected[name] for name in names if name in rejected]
    _write_rejected(out, rows)
    reasons = dict(sorted(Counter(row[1] for row in rows).items()))
    return BulkSummary(len(kept), sum(count for _, count, _ in kept), 0, reasons)


_Record = tuple[str, int, Any]  # name, number of tags, the line or row


def _records(out: Path) -> Iterator[_Record]:
    """Yield what an output holds: a line of JSON, a row of CSV, or one of Parquet."""
    if not out.exists():
        return
    if out.suffix == ".parquet":
        yield from ((row["image"], len(row["tags"]), row) for row in read_parquet(out))
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
    if out.suffix == ".parquet":
        write_parquet(out, (row for _, _, row in records))
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
