"""A whole library tagged, resumable: files, folders and catalogs -> tags.jsonl, .csv, .xmp.

hangtag tag MODEL PATH... --out tags.jsonl
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hangtag.console import note, track
from hangtag.dataset.workers import map_designs
from hangtag.errors import CatalogError, ConfigError, ImageError
from hangtag.library.keywords.embedded_tags import write_tags
from hangtag.storage.files import refuse_foreign
from hangtag.storage.locks import only_writer
from hangtag.tagging.designs import Located
from hangtag.tagging.model_folder import TAGS_FILE, ModelFolder
from hangtag.tagging.output import (
    Journal,
    TaggedDesign,
    is_own_output,
    write_rejected,
    write_tagged,
)
from hangtag.tagging.tagger import BATCH, Suggestion, Tagger, model_input

# Whether tags are written into metadata: no, into sidecars, or into files that can hold them.
Xmp = bool | Literal["embed"]
SCORE_DIGITS = 6  # all that single precision holds, and what the endpoint is compared to


@dataclass(frozen=True)
class Selection:
    """Which suggestions of a design are kept.

    By default those that reach the threshold of their tag. Each of the three options replaces the
    thresholds; `top` and `min_score` also hold together, and with `all`.
    """

    all: bool = False
    """Every tag of the vocabulary."""

    top: int | None = None
    """At most this many, the best."""

    min_score: float | None = None
    """Those with at least this score, 0 to 1."""

    def of(self, tagger: Tagger, scores: NDArray[np.float32]) -> list[Suggestion]:
        """Return the kept suggestions of one design, best first, by its scores (T,)."""
        if self.all or self.min_score is not None or self.top is not None:
            return tagger.suggestions(scores, min_score=self.min_score or 0.0, top=self.top)
        return tagger.suggestions(scores, min_score=tagger.thresholds)


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


def tag_designs(
    tagger: Tagger,
    designs: Sequence[Located],
    selection: Selection,
    *,
    workers: int = 0,
) -> Iterator[TaggedDesign]:
    """Yield every design with its kept suggestions, or with the error that reading it raised.

    They are decoded on `workers` cores (0: all).
    """
    inputs = map_designs(
        partial(model_input, preprocessing=tagger.folder.preprocessing),
        (design.location for design in designs),
        workers=workers,
    )
    named = zip((design.name for design in designs), inputs, strict=True)
    while batch := list(islice(named, BATCH)):
        decoded = [pixels for _, pixels in batch if not isinstance(pixels, ImageError)]
        scores = iter(tagger.scores(decoded))
        for name, pixels in batch:
            if isinstance(pixels, ImageError):
                yield TaggedDesign(name, error=pixels)
            else:
                kept = selection.of(tagger, next(scores))
                yield TaggedDesign(name, tuple(map(_rounded, kept)))


def _rounded(suggestion: Suggestion) -> Suggestion:
    return replace(suggestion, score=round(suggestion.score, SCORE_DIGITS))


def tag_library(
    model: Path,
    designs: Sequence[Located],
    out: Path,
    selection: Selection,
    *,
    workers: int = 0,
    xmp: Xmp = False,
) -> BulkSummary:
    """Tag designs into `out` (.jsonl or .csv); the same call again resumes a killed one.

    Designs that cannot be read are listed in `out` with the suffix .rejected.csv. `xmp` also
    writes the kept tags into `.xmp` sidecars of local files, "embed" into the files. Raises
    ConfigError, ModelError.
    """
    if out.suffix not in (".jsonl", ".csv"):
        raise ConfigError(f"{out}: name a .jsonl or .csv file")
    with only_writer(out.with_name(f".{out.name}.lock"), out):
        refuse_foreign(out, is_own_output, "hangtag tag")
        if xmp:
            _check_sidecars(designs)
        tagger = Tagger.open(model)
        key = _key(tagger.folder, designs, selection, xmp)
        journal = Journal(out.with_name(f".{out.name}.part"), key)
        done = journal.done
        if done:
            note(f"resuming: an earlier run tagged {done:,} designs")
        tagged = _tagged(tagger, designs[done:], selection, workers, xmp)
        journal.append(track(tagged, "tagging", total=len(designs), done=done))
        write_tagged(out, journal)
        rejected = write_rejected(out.with_suffix(".rejected.csv"), journal)
        counts = [len(design.suggestions) for design in journal if design.error is None]
        journal.path.unlink()
        return BulkSummary(len(counts), sum(counts), done, dict(sorted(rejected.items())))


def _key(folder: ModelFolder, designs: Sequence[Located], selection: Selection, xmp: Xmp) -> str:
    """Return a digest of what the result depends on: a journal of another run is not resumed."""
    digest = hashlib.sha256(folder.onnx.read_bytes())
    digest.update((folder.path / TAGS_FILE).read_bytes())
    pairs = [(design.name, design.location) for design in designs]
    digest.update(json.dumps([asdict(selection), xmp, pairs]).encode())
    return digest.hexdigest()


def stream(
    model: Path,
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
        _check_sidecars(designs)
    yield from _tagged(Tagger.open(model), designs, selection, workers, xmp)


def _tagged(
    tagger: Tagger, designs: Sequence[Located], selection: Selection, workers: int, xmp: Xmp
) -> Iterator[TaggedDesign]:
    tagged = tag_designs(tagger, designs, selection, workers=workers)
    for design, found in zip(designs, tagged, strict=True):
        if xmp:
            _write_xmp(found, design.location, tagger.folder, xmp == "embed")
        yield found


def _check_sidecars(designs: Sequence[Located]) -> None:
    remote = next((design.location for design in designs if not design.is_local), None)
    if remote is not None:
        raise ConfigError(f"--xmp writes beside the designs, and {remote} is not on this machine")


def _write_xmp(design: TaggedDesign, location: str, model: ModelFolder, embed: bool) -> None:
    """Add the tags to the design's metadata; what cannot be read stays as it is, and a note says
    so."""
    if design.suggestions:
        try:
            write_tags(Path(location), design.marks(model), embed=embed)
        except (CatalogError, OSError) as error:
            note(f"metadata not changed: {error}")


def summary_line(summary: BulkSummary, out: Path) -> str:
    """Return the closing line for a person."""
    line = f"{summary.suggestions:,} tags on {summary.tagged:,} designs -> {out}"
    if summary.unchanged:
        line += f"; {summary.unchanged:,} designs unchanged since the last run"
    if summary.rejected:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in summary.rejected.items())
        line += f"; unreadable: {reasons}, see {out.with_suffix('.rejected.csv')}"
    return line
