"""The plots of a model's report, as SVG."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hangtag.quality.charts import COLOURS, INK, Chart, Scale
from hangtag.quality.metrics import Floats, Labels


def training_curves(history: Sequence[dict[str, str]]) -> str:
    """Draw loss and validation scores over the epochs, from the rows of history.csv."""
    epochs = [float(row["epoch"]) for row in history]
    scores = {
        label: [float(row[f"validation_{name}_map"]) for row in history]
        for name, label in (("macro", "macro mAP"), ("micro", "micro mAP"))
    }
    losses = [float(row["train_loss"]) for row in history]
    highest = max((one for values in scores.values() for one in values if one > 0), default=1)
    loss = Scale("training loss (dotted)", 0, 1.05 * max((x for x in losses if x > 0), default=1))
    chart = Chart(
        "training",
        Scale("epoch", min(epochs), max(epochs), whole=True),
        Scale("validation score", 0, 1.05 * highest),
        loss,
    )
    for (label, values), colour in zip(scores.items(), COLOURS, strict=False):
        chart.line(zip(epochs, values, strict=True), label, colour)
    chart.line(zip(epochs, losses, strict=True), "training loss", INK, dotted=True, on=loss)
    return chart.svg()


def precision_recall(
    curves: Sequence[tuple[str, Floats, Labels]], points: Sequence[tuple[str, float, float]]
) -> str:
    """Draw precision over recall: `curves` (name, scores, labels), the first one bold, and marked
    `points` (name, recall, precision)."""
    chart = Chart(
        "precision-recall", Scale("share of all tags found", 0, 1), Scale("share right", 0, 1)
    )
    for number, (name, scores, labels) in enumerate(curves):
        recall, precision = _curve(scores, labels)
        colour = COLOURS[number % len(COLOURS)]
        chart.line(
            zip(recall, precision, strict=True), name, colour, width=2.5 if number == 0 else 1
        )
    for name, recall_at, precision_at in points:
        chart.dots([(recall_at, precision_at)], INK, name)
    return chart.svg()


def reliability(scores: Floats, labels: Labels, bins: int = 15) -> str:
    """Draw the share of yes over the score, in bins of equal width, and each bin's size."""
    known = labels >= 0
    values, yes = scores[known].astype(np.float64), labels[known] == 1
    bin_of = np.minimum((values * bins).astype(np.intp), bins - 1)
    count = np.bincount(bin_of, minlength=bins)
    filled = count > 0
    mean = np.bincount(bin_of, values, bins)[filled] / count[filled]
    share = np.bincount(bin_of, yes, bins)[filled] / count[filled]
    # Half of the 95 % interval.
    spread = 1.96 * np.sqrt(share * (1 - share) / count[filled])
    sizes = Scale("scores (log)", 1, 10 ** np.ceil(np.log10(max(count.max(), 2))), log=True)
    chart = Chart(
        "reliability", Scale("score", 0, 1), Scale("share with the tag", 0, 1), right=sizes
    )
    chart.bars([float(edge) for edge in np.linspace(0, 1, bins + 1)], count.tolist(), sizes)
    chart.line([(0, 0), (1, 1)], "perfect", INK, dotted=True)
    chart.intervals(zip(mean, share - spread, share + spread, strict=True), COLOURS[0])
    chart.line(zip(mean, share, strict=True), "this model", COLOURS[0])
    chart.dots(zip(mean, share, strict=True), COLOURS[0])
    return chart.svg()


def _curve(scores: Floats, labels: Labels) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return recall and precision, at most 200 points of the curve."""
    known = labels >= 0
    order = np.argsort(-scores[known], kind="stable")
    hits = np.cumsum(labels[known][order] == 1)
    if not len(hits) or not hits[-1]:
        return np.array([]), np.array([])
    some = np.unique(np.searchsorted(hits, np.linspace(1, hits[-1], min(200, int(hits[-1])))))
    return hits[some] / hits[-1], hits[some] / (some + 1)
