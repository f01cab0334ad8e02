"""Two models on the same designs: which one tags better, and whether that is beyond chance.

hangtag compare MODEL_A MODEL_B DATASET
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hangtag.console import note
from hangtag.dataset.dataset_folder import Dataset
from hangtag.errors import DatasetError
from hangtag.quality import metrics
from hangtag.quality.bootstrap import affordable, interval, resample
from hangtag.quality.evaluate import RESAMPLES, MeasuredOn
from hangtag.quality.metrics import Floats
from hangtag.quality.scoring import Scored, score
from hangtag.tagging.tagger import Tagger


@dataclass(frozen=True)
class Difference:
    """One metric of both models, with the paired 95 % interval of b - a."""

    name: str
    a: float
    b: float
    low: float
    high: float

    @property
    def real(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Comparison:
    """Two models on one split."""

    split: str
    dataset: MeasuredOn
    designs: int
    macro_map: Difference
    micro_map: Difference
    per_tag: list[Difference]
    """Average precision of each tag that both models know and a design of the split has."""

    def as_json(self) -> dict[str, Any]:
        """Return everything as one JSON object."""
        return asdict(self)


def compare(
    model_a: Path,
    model_b: Path,
    dataset: Dataset | Path,
    *,
    split: str | None = None,
    tags_file: Path | None = None,
) -> Comparison:
    """Measure two models on the same split, on the tags that both know.

    Both are measured on the same bootstrap draws, so that designs which are hard for both cancel
    out. `split` None takes test, or validation without one. Raises ModelError, DatasetError.
    """
    folder = Dataset.open(dataset, tags_file)
    taggers = [Tagger.open(model) for model in (model_a, model_b)]
    if taggers[0].folder.precision != taggers[1].folder.precision:  # which is no difference of them
        taggers = [Tagger.open(model, asked="fp32") for model in (model_a, model_b)]
    a, b = (score(tagger, folder, split) for tagger in taggers)
    names_a, names_b = a.tagger.vocabulary.names, b.tagger.vocabulary.names
    column_b = {name: n for n, name in enumerate(names_b)}
    common = [
        n for n, name in enumerate(names_a) if name in column_b and (a.labels[:, n] == 1).any()
    ]
    if not common:
        raise DatasetError(f"{model_a} and {model_b} have no tag in common that {dataset} has")
    left_out = len(set(names_a) ^ set(names_b))
    if left_out:
        note(f"left out {left_out} tags that only one of the models knows")
    return _compared(a, b, common, [column_b[names_a[n]] for n in common])


def _compared(a: Scored, b: Scored, of_a: list[int], of_b: list[int]) -> Comparison:
    # A design that only one of the models can read says nothing about the difference.
    _, rows_a, rows_b = np.intersect1d(a.records, b.records, return_indices=True)
    labels = a.labels[rows_a][:, of_a]
    scores = a.scores[rows_a][:, of_a], b.scores[rows_b][:, of_b]
    groups = None if a.groups is None else a.groups[rows_a]
    drawn = [resample(s, labels, groups, resamples=affordable(labels, RESAMPLES)) for s in scores]
    each = [metrics.average_precision(s, labels) for s in scores]

    def difference(name: str, was: float, now: float, draws: list[Floats]) -> Difference:
        low, high = interval(draws[1] - draws[0], now - was)
        return Difference(name, float(was), float(now), low, high)

    macro, micro = (
        [kind(s, labels) for s in scores] for kind in (metrics.macro_map, metrics.micro_map)
    )
    names = a.tagger.vocabulary.names
    return Comparison(
        a.split,
        MeasuredOn.of(a.folder),
        len(labels),
        difference("macro mAP", macro[0], macro[1], [d.macro for d in drawn]),
        difference("micro mAP", micro[0], micro[1], [d.micro for d in drawn]),
        [
            difference(names[n], each[0][k], each[1][k], [d.per_tag[k] for d in drawn])
            for k, n in enumerate(of_a)
        ],
    )


def table_lines(comparison: Comparison, tags: int = 10) -> Iterator[str]:
    """Yield the lines of a terminal table: the means, then the tags that differ most."""
    yield (
        f"{comparison.designs:,} {comparison.split} designs of {comparison.dataset.name}, "
        f"{len(comparison.per_tag):,} tags that both models know"
    )
    real = [tag for tag in comparison.per_tag if tag.real]
    better = sum(tag.low > 0 for tag in real)
    width = max(len(row.name) for row in (comparison.macro_map, *comparison.per_tag))
    yield f"{'':{width}}       A       B    B - A   95 % interval"
    for row in (comparison.macro_map, comparison.micro_map):
        yield _line(row, width)
    yield ""
    yield f"B is better at {better} tags, A at {len(real) - better}, each beyond chance"
    for row in sorted(real, key=lambda tag: -abs(tag.b - tag.a))[:tags]:
        yield _line(row, width)


def _line(row: Difference, width: int) -> str:
    verdict = "" if row.real else "   may be chance"
    return (
        f"{row.name:{width}}  {row.a:.4f}  {row.b:.4f}  {row.b - row.a:+.4f}   "
        f"{row.low:+.4f} to {row.high:+.4f}{verdict}"
    )
