"""A whole library tagged, resumable: files, folders and catalogs -> tags.jsonl, .csv, .xmp.

hangtag tag MODEL PATH... --out tags.jsonl
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from hangtag.console import note, track
from hangtag.dataset.elsewhere import is_elsewhere
from hangtag.dataset.images import Pixels, decode, fit
from hangtag.dataset.workers import map_designs
from hangtag.errors import ImageError
from hangtag.library.colours import TWELVE, Palette, colour_shares, main_colours
from hangtag.storage.files import refuse_foreign
from hangtag.storage.locks import only_writer
from hangtag.tagging.designs import Located
from hangtag.tagging.metadata import Xmp, check_local, with_metadata
from hangtag.tagging.model_folder import ModelFolder, Preprocessing
from hangtag.tagging.output import (
    REJECTED,
    Journal,
    TaggedDesign,
    beginning_of,
    check_suffix,
    is_own_output,
    write_rejected,
    write_tagged,
)
from hangtag.tagging.precision import Precision, has_gpu
from hangtag.tagging.selection import Selection
from hangtag.tagging.tagger import BATCH, Suggestion, model_input, opened_once
from hangtag.tagging.words import check_words, words_of

SCORE_DIGITS = 6  # all that single precision holds, and what the endpoint is compared to


@dataclass(frozen=True)
class BulkSummary:
    """What a bulk run did."""

    tagged: int
    """Designs."""

    suggestions: int
    """Tags on all of them."""

    resumed: int
    """Designs that an earlier, killed run had tagged."""

    rejected: dict[str, int]
    """Designs that could not be read, per reason."""

    unchanged: int = 0
    """Designs that an earlier run had tagged and that have not changed since."""

    unwritten: int = 0
    """Designs of this run whose metadata could not be written; the next run tries again."""

    precision: Precision = "fp32"
    """In which the network computed: fp32, or int8 for 8 bits."""


def tag_designs(
    folder: ModelFolder,
    designs: Sequence[Located],
    selection: Selection,
    *,
    workers: int = 0,
) -> Iterator[TaggedDesign]:
    """Yield every design with its kept suggestions, or with the error that reading it raised.

    They are decoded on `workers` cores (0: all), and scored there, too: an input costs more to
    bring to another process than its tags do. A GPU scores them in this process. Raises ModelError.
    """
    if selection.words:
        check_words()
    prepare = partial(_prepared, preprocessing=folder.preprocessing, selection=selection)
    score = _Scoring(folder.path, selection, folder.precision)
    locations = (design.location for design in designs)
    found: Iterator[tuple[Suggestion, ...] | ImageError]
    if has_gpu() and not is_elsewhere():
        found = _in_batches(score, map_designs(prepare, locations, workers=workers))
    else:
        found = map_designs(prepare, locations, then=score, workers=workers)
    for design, one in zip(designs, found, strict=True):
        if isinstance(one, ImageError):
            yield TaggedDesign(design.name, error=one)
        else:
            yield TaggedDesign(design.name, one)


class _Prepared(NamedTuple):
    """A decoded design."""

    pixels: Pixels
    others: tuple[Suggestion, ...]
    """That are not the model's: words and colours."""


def _prepared(data: bytes, preprocessing: Preprocessing, selection: Selection) -> _Prepared:
    if not (selection.colours or selection.words):
        return _Prepared(model_input(data, preprocessing), ())
    pixels = decode(data, preprocessing.packed_size, preprocessing.max_megapixels)
    others: list[Suggestion] = []
    if selection.words:
        others += words_of(data, preprocessing.max_megapixels)
    if selection.colours:
        others += _colours(pixels, selection.palette or TWELVE)
    return _Prepared(fit(pixels, preprocessing.input_size, trim=preprocessing.trim), tuple(others))


def _colours(pixels: Pixels, palette: Palette) -> Iterator[Suggestion]:
    shares = colour_shares(pixels, palette)
    for name in main_colours(shares, names=palette.names):
        yield Suggestion(name, float(shares[palette.names.index(name)]), "suggest", "colour")


@dataclass(frozen=True)
class _Scoring:
    """Designs -> the kept suggestions of each. Worker processes get it, and load the model once."""

    folder: Path
    """The model."""
    selection: Selection
    precision: Precision
    """The same for all workers, whatever their processors."""

    def at(self, folder: Path) -> "_Scoring":
        """Return the same with a copy of the model."""
        return replace(self, folder=folder)

    def __call__(self, designs: Sequence[_Prepared]) -> list[tuple[Suggestion, ...]]:
        tagger = opened_once(self.folder, self.precision)
        scores = tagger.scores([design.pixels for design in designs])
        found: list[tuple[Suggestion, ...]] = []
        for design, row in zip(designs, scores, strict=True):
            kept = self.selection.of(tagger, row)
            given = {suggestion.tag for suggestion in kept}
            others = {one.tag: one for one in reversed(design.others) if one.tag not in given}
            found.append(tuple(map(_rounded, (*kept, *reversed(others.values())))))
        return found


def _in_batches(
    score: _Scoring, designs: Iterator[_Prepared | ImageError]
) -> Iterator[tuple[Suggestion, ...] | ImageError]:
    while batch := list(islice(designs, BATCH)):
        scored = iter(score([one for one in batch if not isinstance(one, ImageError)]))
        for one in batch:
            yield one if isinstance(one, ImageError) else next(scored)


def _rounded(suggestion: Suggestion) -> Suggestion:
    return replace(suggestion, score=round(suggestion.score, SCORE_DIGITS))


def run_library(
    model: Path | ModelFolder,
    designs: Sequence[Located],
    out: Path,
    selection: Selection,
    *,
    workers: int = 0,
    xmp: Xmp = False,
) -> tuple[BulkSummary, Journal]:
    """Tag designs into `out` (.jsonl, .csv or .parquet); the same call again resumes a killed one.

    Designs that cannot be read are listed in `out` with the suffix .rejected.csv. `xmp` also
    writes the kept tags into `.xmp` sidecars of local files, "embed" into the files. Where a model
    chooses its own precision, a killed run is resumed in that with which it began. The journal is
    left, by which nothing is tagged twice after a kill: the caller deletes it. Raises ConfigError,
    ModelError.
    """
    check_suffix(out)
    with only_writer(out.with_name(f".{out.name}.lock"), out):
        refuse_foreign(out, is_own_output, "hangtag tag")
        if xmp:
            check_local(designs)
        folder = ModelFolder.of(model)
        begun = beginning_of(journal_of(out))
        keys = begun[:1] if begun else ()
        folder = folder.begun(lambda one: key_of(one, designs, selection, xmp) in keys)
        key = key_of(folder, designs, selection, xmp)
        kind = journal_kind(kind_of(folder, selection, xmp))
        journal = Journal(journal_of(out), key, kind)
        done = journal.done
        if done:
            note(f"resuming: an earlier run tagged {done:,} designs")
        tagged = _tagged(folder, designs[done:], selection, workers, xmp)
        journal.append(track(tagged, "tagging", total=len(designs), done=done))
        write_tagged(out, journal)
        rejected = write_rejected(out.with_suffix(REJECTED), journal)
        summary = _summary(journal, done, rejected)
        return replace(summary, precision=folder.precision), journal


def _summary(journal: Journal, done: int, rejected: Mapping[str, int]) -> BulkSummary:
    tagged = suggestions = unwritten = 0
    for design in journal:
        if design.error is None:
            tagged += 1
            suggestions += len(design.suggestions)
            unwritten += design.is_unwritten
    reasons = dict(sorted(rejected.items()))
    return BulkSummary(tagged, suggestions, done, reasons, unwritten=unwritten)


def journal_of(out: Path) -> Path:
    """Return the path of the journal of a run into `out`."""
    return out.with_name(f".{out.name}.part")


def key_of(folder: ModelFolder, designs: Sequence[Located], selection: Selection, xmp: Xmp) -> str:
    """Return a digest of what the result depends on: a journal of another run is not resumed."""
    pairs = [(design.name, design.location) for design in designs]
    content = json.dumps([*folder.key, selection.as_json(), xmp, pairs])
    return hashlib.sha256(content.encode()).hexdigest()


def kind_of(folder: ModelFolder, selection: Selection, xmp: Xmp) -> str:
    """Return a digest of model, thresholds and options: of what the tags of a design depend on."""
    named = [folder.identity, *folder.key[1:]]
    content = json.dumps([*named, selection.as_json(), xmp])
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def journal_kind(kind: str) -> str:
    """Return the kind of a journal: designs have their names below the working folder."""
    return hashlib.sha256(f"{kind} {Path.cwd()}".encode()).hexdigest()[:32]


def stream(
    folder: ModelFolder,
    designs: Sequence[Located],
    selection: Selection,
    *,
    workers: int = 0,
    xmp: Xmp = False,
) -> Iterator[TaggedDesign]:
    """Yield the designs as they are tagged, `xmp`: with their sidecars written.

    Raises ConfigError, ModelError.
    """
    if xmp:
        check_local(designs)
    yield from _tagged(folder, designs, selection, workers, xmp)


def _tagged(
    folder: ModelFolder, designs: Sequence[Located], selection: Selection, workers: int, xmp: Xmp
) -> Iterator[TaggedDesign]:
    tagged = tag_designs(folder, designs, selection, workers=workers)
    for design, found in zip(designs, tagged, strict=True):
        yield with_metadata(found, design.location, folder, xmp)


def summary_line(summary: BulkSummary, out: Path) -> str:
    """Return the closing line for a person."""
    line = f"{summary.suggestions:,} tags on {summary.tagged:,} designs -> {out}"
    if summary.precision == "int8":
        line += " (8 bits)"
    if summary.unchanged:
        line += f"; {summary.unchanged:,} designs unchanged since the last run"
    if summary.unwritten:
        line += f"; metadata of {summary.unwritten:,} designs not written, see the messages"
    if summary.rejected:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in summary.rejected.items())
        line += f"; unreadable: {reasons}, see {out.with_suffix(REJECTED)}"
    return line
