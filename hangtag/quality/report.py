"""An evaluation -> report.html: one self-contained page for the owner of a library."""

import base64
import csv
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from hangtag import __version__
from hangtag.dataset.images import decode, encode_png
from hangtag.dataset.record_set import Records
from hangtag.quality import plots
from hangtag.quality.evaluate import Evaluation, read_evaluations
from hangtag.quality.pages import render
from hangtag.quality.scoring import Scored, learned_from
from hangtag.storage.files import write_text
from hangtag.tagging.calibration import logit
from hangtag.tagging.model_folder import HISTORY_FILE, REPORT_FILE

THUMBNAIL: Final = 128  # side in pixels, shown at about 96 on a high-density screen
SHOWN: Final = 12  # designs in a gallery
CONFUSIONS: Final = 20
CURVES: Final = 5  # tags with a curve of their own
Kind = Literal["right", "wrong", "missed", "own"]


@dataclass(frozen=True)
class Picture:
    """One design of a gallery."""

    image: str
    """Its path in the catalog, or the number of its record."""
    data: str
    """A data URI."""
    notes: list[tuple[str, Kind]]
    """(text, kind): a tag found, suggested wrongly, missed, or one of the design's others."""


@dataclass(frozen=True)
class Confusion:
    """Designs that have a tag which was not suggested, while another was suggested wrongly."""

    tag: str
    other: str
    designs: int
    of: int
    """All designs that have the tag."""


def write_report(evaluation: Evaluation, scored: Scored, path: Path | None = None) -> Path:
    """Write the page, by default report.html in the model folder, and return its path."""
    path = path or scored.tagger.folder.path / REPORT_FILE
    history: list[dict[str, str]] = []
    if (scored.tagger.folder.path / HISTORY_FILE).exists():  # a model from elsewhere has none
        with (scored.tagger.folder.path / HISTORY_FILE).open(newline="") as file:
            history = list(csv.DictReader(file))
    with scored.folder.records(scored.split) as records:
        pictures = _Gallery(scored, records)
        galleries = {
            "best": pictures.best(),
            "wrong": pictures.confident_wrong(),
            "missing": pictures.surprising_missing(),
        }
    page = render(
        "report.html.j2",
        name=scored.tagger.folder.path.resolve().name,
        version=__version__,
        day=date.today().isoformat(),
        split=evaluation.split,
        dataset=evaluation.dataset,
        own=learned_from(scored.tagger, scored.folder),
        others=_others(evaluation, scored.tagger.folder.path),
        backbone=scored.tagger.folder.training["backbone"],
        input_size=scored.tagger.folder.preprocessing.input_size,
        figures=evaluation.figures,
        names={tag.name: tag.names for tag in scored.tagger.vocabulary.tags},
        per_tag=sorted(evaluation.per_tag, key=lambda tag: -tag["designs"]),
        plots={
            "training": plots.training_curves(history) if len(history) > 1 else "",
            "precision_recall": _curves(evaluation, scored),
            "reliability": plots.reliability(scored.scores, scored.labels),
        },
        confusions=list(confusions(scored))[:CONFUSIONS],
        galleries=galleries,
    )
    write_text(path, page)
    return path


def _others(evaluation: Evaluation, model: Path) -> list[dict[str, Any]]:
    """Return the model's other evaluations, newest first."""
    this = (evaluation.dataset.fingerprint, evaluation.split)
    shown = ("dataset", "split", "designs", "macro_map", "when")
    return [
        {name: one.get(name) for name in shown}
        for one in reversed(read_evaluations(model))
        if ((one.get("dataset") or {}).get("fingerprint"), one.get("split")) != this
    ]


def _curves(evaluation: Evaluation, scored: Scored) -> str:
    names = scored.tagger.vocabulary.names
    often = np.argsort(-(scored.labels == 1).sum(axis=0), kind="stable")[:CURVES]
    curves = [("all tags", scored.scores.ravel(), scored.labels.ravel())]
    curves += [(names[n], scored.scores[:, n], scored.labels[:, n]) for n in often]
    points = [
        (name, recall, precision)
        for name, kind in (("suggest", "micro"), ("apply", "apply"))
        if (recall := evaluation.figures[f"{kind}_recall"]) is not None
        and (precision := evaluation.figures[f"{kind}_precision"]) is not None
    ]
    return plots.precision_recall(curves, points)


def confusions(scored: Scored) -> Iterator[Confusion]:
    """Yield the tags that the model confuses, by falling share of the tag's designs.

    Pairs confused on one design only are left out.
    """
    labels, suggested = scored.labels, scored.suggested
    missed = ((labels == 1) & ~suggested).astype(np.float32)
    wrong = ((labels == 0) & suggested).astype(np.float32)
    together = (missed.T @ wrong).astype(np.int64)
    yes = np.count_nonzero(labels == 1, axis=0)
    names = scored.tagger.vocabulary.names
    pairs = np.argwhere(together > 1)
    for tag, other in sorted(pairs, key=lambda p: (-together[*p] / yes[p[0]], p[0], p[1])):
        yield Confusion(names[tag], names[other], int(together[tag, other]), int(yes[tag]))


class _Gallery:
    """Chooses designs worth looking at and renders their thumbnails."""

    def __init__(self, scored: Scored, records: Records) -> None:
        self.scored, self.names = scored, scored.tagger.vocabulary.names
        self.records = records
        catalog = scored.folder.designs()
        self.images = (
            None
            if catalog is None
            else [design.image for design in catalog if design.split == scored.split]
        )

    def best(self) -> list[Picture]:
        """Return designs with all their tags found and no other suggested, most tags first.

        The same set of tags is shown twice at most.
        """
        scores, labels, suggested = self.scored.scores, self.scored.labels, self.scored.suggested
        yes = labels == 1
        perfect = np.flatnonzero((yes == (suggested & (labels >= 0))).all(axis=1) & yes.any(axis=1))
        # Many tags first, then the lowest of their scores.
        lowest = np.where(yes, scores, 1).min(axis=1)
        order = perfect[np.lexsort((-lowest[perfect], -yes[perfect].sum(axis=1)))]
        uses: Counter[bytes] = Counter()
        found: list[Picture] = []
        for row in order:
            tags = np.flatnonzero(yes[row])
            uses[tags.tobytes()] += 1
            if uses[tags.tobytes()] <= 2 and len(found) < SHOWN:
                notes: list[tuple[str, Kind]] = [
                    (f"{self.names[n]} {scores[row, n]:.0%}", "right") for n in tags
                ]
                found.append(self._picture(int(row), notes))
        return found

    def confident_wrong(self) -> list[Picture]:
        """Return designs by the highest score of a tag that they do not have."""
        labels = self.scored.labels
        return self._cells(np.where(labels == 0, self.scored.scores, -1.0), "wrong", 0.0)

    def surprising_missing(self) -> list[Picture]:
        """Return designs by how far a human tag's odds are below the tag's average odds.

        The average matters because a rare tag's low scores are no surprise.
        """
        scores, labels = self.scored.scores, self.scored.labels
        mean = scores.mean(axis=0, keepdims=True)
        gap = logit(mean) - logit(scores)
        return self._cells(np.where(labels == 1, gap, -np.inf), "missed", 0.0)

    def _cells(self, rank: NDArray[np.floating[Any]], kind: Kind, least: float) -> list[Picture]:
        """Return the designs of the highest ranks; each once, each tag twice at most."""
        found: list[Picture] = []
        seen, uses = set(), Counter[int]()
        for flat in np.argsort(-rank, axis=None, kind="stable"):
            row, tag = divmod(int(flat), rank.shape[1])
            if len(found) == SHOWN or not rank[row, tag] > least:
                break
            if row in seen or uses[tag] == 2:
                continue
            seen.add(row)
            uses[tag] += 1
            own = [self.names[n] for n in np.flatnonzero(self.scored.labels[row] == 1) if n != tag]
            notes: list[tuple[str, Kind]] = [
                (f"{self.names[tag]} {self.scored.scores[row, tag]:.0%}", kind)
            ]
            notes += [(name, "own") for name in own]
            found.append(self._picture(row, notes))
        return found

    def _picture(self, row: int, notes: list[tuple[str, Kind]]) -> Picture:
        record = int(self.scored.records[row])
        pixels = decode(self.records[record].data, THUMBNAIL)
        encoded = base64.b64encode(encode_png(pixels)).decode()
        image = self.images[record] if self.images else f"record {record}"
        return Picture(image, f"data:image/png;base64,{encoded}", notes)
