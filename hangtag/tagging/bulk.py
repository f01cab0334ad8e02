"""A whole library tagged, resumable: files, folders and catalogs -> tags.jsonl, .csv, .xmp.

hangtag tag MODEL PATH... --out tags.jsonl
"""

import csv
import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hangtag.console import note, track
from hangtag.dataset.workers import map_designs
from hangtag.errors import CatalogError, ConfigError, ImageError
from hangtag.library.catalog import Catalog
from hangtag.library.catalog_csv import write_csv
from hangtag.library.image_files import IMAGE_SUFFIXES, designs_below, image_files, is_utf8
from hangtag.library.keywords.xmp import write_sidecar
from hangtag.library.tag_text import join_tags, split_tags
from hangtag.storage.addresses import S3, address_of
from hangtag.storage.files import atomic_path, refuse_foreign, write_text
from hangtag.storage.locks import only_writer
from hangtag.storage.path_lookup import look_up
from hangtag.storage.reading import names_below
from hangtag.tagging.model_folder import TAGS_FILE, ModelFolder
from hangtag.tagging.tagger import BATCH, Suggestion, Tagger, model_input

CATALOG_SUFFIXES: Final = (".csv", ".jsonl", ".parquet")
CSV_HEAD: Final = "image,tags,scores,apply"
_NO_TAGS: Final = {"by": "model"}  # in the answer for a design without tags


@dataclass(frozen=True)
class Selection:
    """Which suggestions of a design are kept.

    Without `all`, `top` and `min_score`: those that reach the threshold of their tag. Each of the
    three puts the thresholds aside, and `top` and `min_score` also hold together, and with `all`.
    """

    all: bool = False  # every tag of the vocabulary
    top: int | None = None  # the best so many
    min_score: float | None = None  # those with this score or more

    def of(self, tagger: Tagger, scores: NDArray[np.float32]) -> list[Suggestion]:
        """Return the kept suggestions of one row of scores, best first."""
        if self.all or self.min_score is not None or self.top is not None:
            return tagger.suggestions(scores, min_score=self.min_score or 0.0, top=self.top)
        return tagger.suggestions(scores, min_score=tagger.thresholds)


@dataclass(frozen=True)
class BulkSummary:
    """What a bulk run did."""

    tagged: int
    suggestions: int
    resumed: int  # designs that an earlier, killed run had done
    rejected: dict[str, int]  # per reason


Answer = dict[str, Any]  # one line of tags.jsonl, or {"image", "reason", "message"}


def find_designs(paths: Sequence[Path]) -> list[tuple[str, str]]:
    """Return (name in the output, location) of every design: files, folders, catalogs; each once.

    A path may be the local place of an `s3://` address, see `files.mirror_of`.

    A name that two catalogs use for different files gives way to the location; a note tells of a
    path that is not UTF-8. Raises CatalogError for a path that does not exist or where there are no
    designs, ConfigError for no paths.
    """
    if not paths:
        raise ConfigError("name the designs to tag: files, folders or catalogs")
    found: dict[str, str] = {}  # name by location
    for path in paths:
        address = address_of(str(path))
        if address is not None and path.suffix.lower() not in CATALOG_SUFFIXES:
            some = [address] if path.suffix.lower() in IMAGE_SUFFIXES else _designs_below(address)
            found.update(zip(some, some, strict=True))
        elif path.is_dir():
            inside = image_files(path)
            if not inside:
                raise CatalogError(f"{path}: no designs in this folder")
            for name in inside:
                found.setdefault(_place(path / name), str(path / name))
        elif path.suffix.lower() in CATALOG_SUFFIXES:
            catalog = Catalog.read(path)
            for design, location in zip(catalog, catalog.located(), strict=True):
                found.setdefault(location, design.image)
        else:
            found.setdefault(_file(path), str(path))
    found = {place: name for place, name in found.items() if is_utf8(place)}
    if not found:
        raise CatalogError(f"{paths[0]}: no designs")
    uses = Counter(found.values())
    return [(name if uses[name] == 1 else place, place) for place, name in found.items()]


def _place(path: Path) -> str:
    return os.path.abspath(path)  # noqa: PTH100 as `Catalog.location`: links stay links


def _file(path: Path) -> str:
    place = _place(path)
    try:
        return place if path.exists() else look_up(place)
    except OSError as cause:
        reason = (cause.strerror or str(cause)).replace("No such file", "no such file or folder")
        raise CatalogError(f"{path}: {reason}") from cause


def _designs_below(address: str) -> list[str]:
    found = designs_below(address, names_below(address))
    if not found:
        raise CatalogError(f"{address}: no designs below this address")
    return found


def tag_designs(
    tagger: Tagger,
    designs: Sequence[tuple[str, str]],
    selection: Selection,
    *,
    workers: int = 0,
) -> Iterator[Answer]:
    """Yield {"image": name, "tags": [{"tag", "score", "mark"}, ...]} for each design, best first.

    Without tags there is also "by": "model", which tells the line from one of a catalog.

    `designs` as `find_designs` returns them, decoded on `workers` cores (0: all). One that cannot
    be decoded yields {"image", "reason", "message"}.
    """
    inputs = map_designs(
        partial(model_input, preprocessing=tagger.folder.preprocessing),
        (location for _, location in designs),
        workers=workers,
    )
    named = zip((name for name, _ in designs), inputs, strict=True)
    while batch := list(islice(named, BATCH)):
        good = [pixels for _, pixels in batch if not isinstance(pixels, ImageError)]
        scores = iter(tagger.scores(good))
        for name, pixels in batch:
            if isinstance(pixels, ImageError):
                yield {"image": name, "reason": pixels.reason, "message": str(pixels)}
            else:
                kept = selection.of(tagger, next(scores))
                tags = [rounded(suggestion) for suggestion in kept]
                yield {"image": name, "tags": tags, **({} if tags else _NO_TAGS)}


def tag_library(
    model: Path,
    designs: Sequence[tuple[str, str]],
    out: Path,
    selection: Selection,
    *,
    workers: int = 0,
    xmp: bool = False,
) -> BulkSummary:
    """Tag designs into `out` (.jsonl or .csv); the same call goes on where a killed one stopped.

    Designs that cannot be read are listed in `out` with the suffix .rejected.csv. `xmp` also
    writes the kept tags into `.xmp` sidecars of local files. Raises ConfigError, ModelError.
    """
    if out.suffix not in (".jsonl", ".csv"):
        raise ConfigError(f"{out}: name a .jsonl or .csv file")
    with only_writer(out.with_name(f".{out.name}.lock"), out):
        refuse_foreign(out, _is_ours, "hangtag tag")
        if xmp:
            _check_sidecars(designs)
        tagger = Tagger.open(model)
        key = _key(tagger.folder, designs, selection, xmp)
        journal = out.with_name(f".{out.name}.part")
        done = _open_journal(journal, key)
        if done:
            note(f"going on after {done:,} designs that an earlier run tagged")
        rest = designs[done:]
        answers = tag_designs(tagger, rest, selection, workers=workers)
        with journal.open("a", encoding="utf-8", newline="\n") as file:
            shown = track(answers, "tagging", total=len(designs), done=done)
            for (_, location), answer in zip(rest, shown, strict=True):
                if xmp:
                    _write_xmp(answer, location)
                file.write(json.dumps(answer, ensure_ascii=False) + "\n")
                file.flush()
        _write_answers(out, journal)
        rejected = _write_rejected(out.with_suffix(".rejected.csv"), journal)
        counts = [len(answer["tags"]) for answer in _answers(journal) if "tags" in answer]
        journal.unlink()
        return BulkSummary(len(counts), sum(counts), done, dict(sorted(rejected.items())))


def _is_ours(out: Path) -> bool:
    """Tell an output of `tag_library` from a catalog and from what a person made of an output."""
    try:
        with out.open(encoding="utf-8", newline="" if out.suffix == ".csv" else None) as file:
            if out.suffix == ".csv":
                rows = csv.reader(file)
                return next(rows, None) == CSV_HEAD.split(",") and all(map(_is_our_row, rows))
            found = [_certainty(line) for line in file]
    except (UnicodeDecodeError, csv.Error):
        return False
    return None not in found and True in found


def _is_our_row(row: list[str]) -> bool:
    if len(row) != 4:
        return False
    scores = row[2].split(";") if row[2] else []
    # As it is written now, or as it was before tags could stand in quotes.
    return len(scores) in (len(split_tags(row[1])), row[1].count(";") + bool(row[1]))


def _certainty(line: str) -> bool | None:
    """Return True for a line that only `tag_designs` gives, None for one that it never gives.

    False may be either: of a catalog, or of an earlier version's answer for a design without tags.
    """
    try:
        row = json.loads(line)
    except ValueError:
        return None
    match row:
        case {"image": str(), "tags": []}:
            rest = {name: row[name] for name in row.keys() - {"image", "tags"}}
            return True if rest == _NO_TAGS else None if rest else False
        case {"image": str(), "tags": [*tags]} if len(row) == 2:
            ours = all(isinstance(tag, dict) and {"tag", "score"} <= tag.keys() for tag in tags)
            return ours or None
    return None


def rounded(suggestion: Suggestion) -> dict[str, Any]:
    # Six digits: all that single precision holds, and what the endpoint is compared to.
    answer = {"tag": suggestion.tag, "score": round(suggestion.score, 6)}
    return {**answer, "mark": suggestion.mark} if suggestion.mark else answer


def _key(
    folder: ModelFolder, designs: Sequence[tuple[str, str]], selection: Selection, xmp: bool
) -> str:
    """Fingerprint what the answers depend on, so that a journal of another run is not taken up."""
    digest = hashlib.sha256(folder.onnx.read_bytes())
    digest.update((folder.path / TAGS_FILE).read_bytes())
    digest.update(json.dumps([asdict(selection), xmp, designs]).encode())
    return digest.hexdigest()


def _open_journal(journal: Path, key: str) -> int:
    """Begin a journal, or return how many answers a killed run of the same command left in it."""
    if journal.exists():
        lines, whole = 0, 0
        with journal.open("rb") as file:
            ours = file.readline().rstrip(b"\n") == key.encode()
            whole = file.tell()
            for line in file:
                if not line.endswith(b"\n"):
                    break
                lines, whole = lines + 1, whole + len(line)
        if ours:
            with journal.open("rb+") as file:
                file.truncate(whole)  # a kill may have cut the last line
            return lines
    write_text(journal, key + "\n")
    return 0


def _answers(journal: Path) -> Iterator[Answer]:
    """Yield the answers one by one: those of a large library do not fit into memory."""
    with journal.open(encoding="utf-8", newline="\n") as file:
        next(file)
        for line in file:
            yield json.loads(line)


def _write_answers(out: Path, journal: Path) -> None:
    tagged = (answer for answer in _answers(journal) if "tags" in answer)
    if out.suffix == ".csv":
        write_csv(out, CSV_HEAD.split(","), map(_csv_row, tagged))
        return
    with atomic_path(out) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        file.writelines(json.dumps(answer, ensure_ascii=False) + "\n" for answer in tagged)


def _csv_row(answer: Answer) -> tuple[str, ...]:
    tags = answer["tags"]
    scores = ";".join(str(tag["score"]) for tag in tags)
    applied = join_tags(tag["tag"] for tag in tags if tag.get("mark") == "apply")
    return answer["image"], join_tags(tag["tag"] for tag in tags), scores, applied


def _write_rejected(path: Path, journal: Path) -> Counter[str]:
    """List what could not be tagged, if anything; return how many for each reason."""
    rejected = [answer for answer in _answers(journal) if "reason" in answer]
    path.unlink(missing_ok=True)
    if rejected:
        columns = ("image", "reason", "message")
        write_csv(path, columns, ([answer[name] for name in columns] for answer in rejected))
    return Counter(answer["reason"] for answer in rejected)


def stream(
    model: Path,
    designs: Sequence[tuple[str, str]],
    selection: Selection,
    *,
    workers: int = 0,
    xmp: bool = False,
) -> Iterator[Answer]:
    """Yield the answers of `tag_designs` as they come, with sidecars where `xmp` asks for them."""
    if xmp:
        _check_sidecars(designs)
    answers = tag_designs(Tagger.open(model), designs, selection, workers=workers)
    for (_, location), answer in zip(designs, answers, strict=True):
        if xmp:
            _write_xmp(answer, location)
        yield answer


def _check_sidecars(designs: Sequence[tuple[str, str]]) -> None:
    away = next((location for _, location in designs if location.startswith(S3)), None)
    if away is not None:
        raise ConfigError(f"--xmp writes beside the designs, and {away} is not on this machine")


def _write_xmp(answer: Answer, location: str) -> None:
    """Add the tags to the design's sidecar; one that cannot be read stays, and is told of."""
    if answer.get("tags"):
        try:
            write_sidecar(Path(location), [tag["tag"] for tag in answer["tags"]])
        except (CatalogError, OSError) as error:
            note(f"sidecar left alone: {error}")


def summary_line(summary: BulkSummary, out: Path) -> str:
    """Return the closing line for a person."""
    line = f"{summary.suggestions:,} tags on {summary.tagged:,} designs -> {out}"
    if summary.rejected:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in summary.rejected.items())
        line += f"; unreadable: {reasons}, see {out.with_suffix('.rejected.csv')}"
    return line
