"""A whole library tagged, resumable: files, folders and catalogs -> tags.jsonl, .csv, .xmp.

hangtag tag MODEL PATH... --out tags.jsonl
"""

import csv
import hashlib
import json
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
from hangtag.files import atomic_path
from hangtag.library.catalog import Catalog
from hangtag.library.sources import image_files
from hangtag.library.xmp import write_sidecar
from hangtag.tagging.tagger import BATCH, Suggestion, Tagger, model_input

CATALOG_SUFFIXES: Final = (".csv", ".jsonl", ".parquet")


@dataclass(frozen=True)
class Selection:
    """Which suggestions of a design are kept."""

    all: bool = False  # every tag of the vocabulary
    top: int | None = None
    min_score: float | None = None  # None: the threshold of each tag

    def of(self, tagger: Tagger, scores: NDArray[np.float32]) -> list[Suggestion]:
        """Return the kept suggestions of one row of scores, best first."""
        if self.all:
            return tagger.suggestions(scores)
        if self.min_score is not None or self.top is not None:
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

    Raises CatalogError for a path that does not exist or a folder without designs.
    """
    found: dict[str, str] = {}
    for path in paths:
        if path.is_dir():
            inside = image_files(path)
            if not inside:
                raise CatalogError(f"{path}: no designs in this folder")
            found.update((str(path / name), str(path / name)) for name in inside)
        elif path.suffix.lower() in CATALOG_SUFFIXES:
            catalog = Catalog.read(path)
            found.update((design.image, catalog.location(design)) for design in catalog)
        elif path.exists():
            found[str(path)] = str(path)
        else:
            raise CatalogError(f"{path}: no such file or folder")
    return list(found.items())


def tag_designs(
    tagger: Tagger,
    designs: Sequence[tuple[str, str]],
    selection: Selection,
    *,
    workers: int = 0,
) -> Iterator[Answer]:
    """Yield {"image": name, "tags": [{"tag", "score"}, ...]} for each design, best tags first.

    `designs` as `find_designs` returns them, decoded on `workers` cores (0: all). One that cannot
    be decoded yields {"image", "reason", "message"}.
    """
    squares = map_designs(
        partial(model_input, preprocessing=tagger.folder.preprocessing),
        (location for _, location in designs),
        workers=workers,
    )
    named = zip((name for name, _ in designs), squares, strict=True)
    while batch := list(islice(named, BATCH)):
        good = [square for _, square in batch if not isinstance(square, ImageError)]
        scores = iter(tagger.scores(good))
        for name, square in batch:
            if isinstance(square, ImageError):
                yield {"image": name, "reason": square.reason, "message": str(square)}
            else:
                kept = selection.of(tagger, next(scores))
                yield {"image": name, "tags": [_rounded(suggestion) for suggestion in kept]}


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
    tagger = Tagger.open(model)
    key = _key(tagger.folder.onnx, designs, selection)
    journal = out.with_name(f".{out.name}.part")
    earlier = _read_journal(journal, key)
    if earlier:
        note(f"going on after {len(earlier):,} designs that an earlier run tagged")
    places = dict(designs)
    rest = designs[len(earlier) :]
    answers = tag_designs(tagger, rest, selection, workers=workers)
    out.parent.mkdir(parents=True, exist_ok=True)
    with journal.open("a", encoding="utf-8") as file:
        if not earlier:
            file.truncate(0)
            file.write(json.dumps(key) + "\n")
        for answer in track(answers, "tagging", total=len(designs), done=len(earlier)):
            if xmp:
                _write_xmp(answer, places)
            file.write(json.dumps(answer, ensure_ascii=False) + "\n")
            file.flush()
            earlier.append(answer)
    resumed = len(designs) - len(rest)
    _write_answers(out, [answer for answer in earlier if "tags" in answer])
    rejected = [answer for answer in earlier if "reason" in answer]
    _write_rejected(out.with_suffix(".rejected.csv"), rejected)
    journal.unlink()
    return BulkSummary(
        len(earlier) - len(rejected),
        sum(len(answer.get("tags", ())) for answer in earlier),
        resumed,
        dict(sorted(Counter(answer["reason"] for answer in rejected).items())),
    )


def _rounded(suggestion: Suggestion) -> dict[str, Any]:
    # Six digits: all that single precision holds, and what the endpoint is compared to.
    return {"tag": suggestion.tag, "score": round(suggestion.score, 6)}


def _key(onnx: Path, designs: Sequence[tuple[str, str]], selection: Selection) -> str:
    """Fingerprint what the answers depend on, so that a journal of another run is not taken up."""
    digest = hashlib.sha256(onnx.read_bytes())
    digest.update(json.dumps([asdict(selection), designs]).encode())
    return digest.hexdigest()


def _read_journal(journal: Path, key: str) -> list[Answer]:
    """Return the answers of a killed run of the same command; cut off a half-written line."""
    if not journal.exists():
        return []
    data = journal.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        with journal.open("rb+") as file:
            file.truncate(len(whole))
    lines = whole.decode("utf-8").splitlines()
    return [json.loads(line) for line in lines[1:]] if lines and json.loads(lines[0]) == key else []


def _write_answers(out: Path, answers: list[Answer]) -> None:
    with atomic_path(out) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        if out.suffix == ".jsonl":
            file.writelines(json.dumps(answer, ensure_ascii=False) + "\n" for answer in answers)
            return
        writer = csv.writer(file)
        writer.writerow(("image", "tags", "scores"))
        for answer in answers:
            tags = [tag["tag"] for tag in answer["tags"]]
            writer.writerow(
                (answer["image"], ";".join(tags), ";".join(str(t["score"]) for t in answer["tags"]))
            )


def _write_rejected(path: Path, rejected: list[Answer]) -> None:
    if not rejected:
        path.unlink(missing_ok=True)
        return
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ("image", "reason", "message"))
        writer.writeheader()
        writer.writerows(rejected)


def stream(
    model: Path,
    designs: Sequence[tuple[str, str]],
    selection: Selection,
    *,
    workers: int = 0,
    xmp: bool = False,
) -> Iterator[Answer]:
    """Yield the answers of `tag_designs` as they come, with sidecars where `xmp` asks for them."""
    places = dict(designs)
    for answer in tag_designs(Tagger.open(model), designs, selection, workers=workers):
        if xmp:
            _write_xmp(answer, places)
        yield answer


def _write_xmp(answer: Answer, places: dict[str, str]) -> None:
    """Add the tags to the design's sidecar; one that cannot be read stays, and is told of."""
    if answer.get("tags"):
        try:
            write_sidecar(Path(places[answer["image"]]), [tag["tag"] for tag in answer["tags"]])
        except (CatalogError, OSError) as error:
            note(f"sidecar left alone: {error}")


def summary_line(summary: BulkSummary, out: Path) -> str:
    """Return the closing line for a person."""
    line = f"{summary.suggestions:,} tags on {summary.tagged:,} designs -> {out}"
    if summary.rejected:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in summary.rejected.items())
        line += f"; unreadable: {reasons}, see {out.with_suffix('.rejected.csv')}"
    return line
