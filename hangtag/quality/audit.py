"""A library's likely missing and likely wrong tags, most confident first, by held-out scores.

hangtag audit MODEL designs.csv --out audit.csv
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from hangtag.dataset.dataset_folder import judged
from hangtag.library.catalog import Catalog, Design
from hangtag.library.catalog_csv import write_csv
from hangtag.library.tag_text import join_tags
from hangtag.quality.label_errors import likely_wrong
from hangtag.quality.metrics import Floats, Labels
from hangtag.quality.other_tags import with_other_tags
from hangtag.quality.thresholds import fit_thresholds

# The file format keeps its name for the confidence, `sureness`.
COLUMNS: Final = ("image", "problem", "tag", "sureness", "score", "tags")
# From this confidence on a tag is reported as wrong.
WRONG_FROM: Final = 0.5


@dataclass(frozen=True, eq=False)
class HeldOut:
    """A library's n designs, each scored by a head that has seen neither it nor its group."""

    catalog: Catalog
    """The designs as packed."""

    tags: tuple[str, ...]
    labels: NDArray[np.int8]
    """(n, T): 1 yes, 0 reviewed no, -1 unknown."""

    scores: NDArray[np.float32]
    """(n, T) in 0..1; NaN for a design that cannot be read."""


@dataclass(frozen=True)
class Finding:
    """A tag that a design probably lacks, or probably should not have."""

    image: str
    problem: Literal["missing", "wrong"]
    tag: str
    confidence: float
    """0 to 1: the probability that the finding is right, given the image and the other tags."""
    score: float
    """0 to 1: the score of the image alone, by a head that has not seen the design."""
    tags: tuple[str, ...]
    """The design's tags."""


def audit(scored: HeldOut, library: Catalog) -> list[Finding]:
    """Return first what is probably missing, then what is probably wrong, most confident first.

    `scored` as `hangtag.training.held_out.held_out` makes it of `library`, whose image paths the
    findings bear. A tag is missing from the same threshold as one is suggested. A reviewed no is
    not reported as missing.
    """
    labels = scored.labels
    likely = with_other_tags(scored.scores, labels, scored.catalog.group_numbers())
    missing, wrong = missing_confidence(likely, labels), wrong_confidence(likely, labels)
    readable = ~np.isnan(likely).any(axis=1)
    thresholds = fit_thresholds(likely[readable], judged(labels[readable]))
    # Relative paths of the packed designs start from another folder.
    images = {library.location(design): design.image for design in library}
    designs = [
        replace(design, image=images.get(scored.catalog.location(design), design.image))
        for design in scored.catalog
    ]
    cells = _Cells(designs, scored.tags, scored.scores)
    return [
        *cells.findings("missing", missing, (labels < 0) & (likely >= thresholds)),
        *cells.findings("wrong", wrong, (labels == 1) & (wrong >= WRONG_FROM)),
    ]


def missing_confidence(likely: Floats, labels: Labels) -> NDArray[np.float64]:
    """Return the probability that a tag is missing, (n, T) in 0..1: how `likely` the tag is.

    NaN where the design has the tag, or a reviewed no.
    """
    return np.where(labels < 0, likely, np.nan).astype(np.float64)


def wrong_confidence(likely: Floats, labels: Labels) -> NDArray[np.float64]:
    """Return the probability that a tag is wrong, (n, T) in 0..1, as `likely_wrong` has it.

    NaN where the design does not have the tag.
    """
    yes = (labels == 1) & ~np.isnan(likely)
    return np.where(yes, likely_wrong(likely, np.count_nonzero(yes, axis=0), len(labels)), np.nan)


@dataclass(frozen=True, eq=False)
class _Cells:
    """The designs, tags and scores, (n, T), that findings are about."""

    designs: Sequence[Design]
    tags: Sequence[str]
    scores: Floats

    def findings(
        self,
        problem: Literal["missing", "wrong"],
        confidence: NDArray[np.float64],
        chosen: NDArray[np.bool_],
    ) -> Iterator[Finding]:
        """Yield the `chosen` cells by falling `confidence`; both (n, T)."""
        order = np.argsort(-confidence[chosen], kind="stable")
        for row, tag in np.argwhere(chosen)[order]:
            design = self.designs[row]
            yield Finding(
                design.image,
                problem,
                self.tags[tag],
                float(confidence[row, tag]),
                float(self.scores[row, tag]),
                design.tags,
            )


def is_audit(path: Path) -> bool:
    """Return whether a file begins as `write_findings` begins one."""
    with path.open(encoding="utf-8", errors="replace") as file:
        return next(file, "").rstrip() == ",".join(COLUMNS)


def write_findings(path: Path, findings: Iterable[Finding]) -> None:
    """Write audit.csv: one finding per line, columns as in COLUMNS, tags as `join_tags` does."""
    write_csv(path, COLUMNS, map(_record, findings))


def _record(found: Finding) -> tuple[str, ...]:
    confidence, score = f"{found.confidence:.4f}", f"{found.score:.6f}"
    return found.image, found.problem, found.tag, confidence, score, join_tags(found.tags)
