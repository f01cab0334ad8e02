"""The plots of a model's report, as SVG."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from hangtag.quality.metrics import Floats, Labels
from hangtag.quality.pages import INK, svg


def training_curves(history: Sequence[dict[str, str]]) -> str:
    """Draw loss and validation scores over the epochs, from the rows of history.csv."""
    epochs = [int(row["epoch"]) for row in history]

    def draw(axes: Axes) -> None:
        for name, label in (("macro", "macro mAP"), ("micro", "micro mAP")):
            values = [float(row[f"validation_{name}_map"]) for row in history]
            axes.plot(epochs, values, label=label)
        axes.set(xlabel="epoch", ylabel="validation score", ylim=(0, None))
        loss = axes.twinx()
        loss.plot(epochs, [float(row["train_loss"]) for row in history], color=INK, ls=":")
        loss.set(ylabel="training loss (dotted)")
        loss.grid(False)
        axes.legend(loc="lower right")

    return svg(draw, "training")


def precision_recall(
    curves: Sequence[tuple[str, Floats, Labels]], points: Sequence[tuple[str, float, float]]
) -> str:
    """Draw precision over recall: `curves` (name, scores, labels), the first one bold, and marked
    `points` (name, recall, precision)."""

    def draw(axes: Axes) -> None:
        for number, (name, scores, labels) in enumerate(curves):
            recall, precision = _curve(scores, labels)
            # A dollar would begin a formula, and a label that begins with `_` is left out.
            text = " " + name.replace("$", r"\$")
            axes.plot(recall, precision, label=text, lw=2.5 if number == 0 else 1)
        for name, recall_at, precision_at in points:
            axes.plot(recall_at, precision_at, "o", color=INK)
            axes.annotate(
                name, (recall_at, precision_at), xytext=(6, 6), textcoords="offset points"
            )
        axes.set(
            xlabel="share of all tags found", ylabel="share right", xlim=(0, 1), ylim=(0, 1.02)
        )
        axes.legend(loc="lower left", fontsize=8)

    return svg(draw, "precision-recall")


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

    def draw(axes: Axes) -> None:
        axes.plot((0, 1), (0, 1), color=INK, ls=":", label="perfect")
        axes.errorbar(mean, share, spread, marker="o", capsize=2, label="this model")
        axes.set(xlabel="score", ylabel="share with the tag", xlim=(0, 1), ylim=(0, 1.02))
        axes.legend(loc="upper left")
        counts = axes.twinx()
        edges = np.linspace(0, 1, bins + 1)
        counts.bar(edges[:-1], count, 1 / bins, align="edge", color=INK, alpha=0.12)
        counts.set(yscale="log", ylabel="scores (log)")
        counts.grid(False)

    return svg(draw, "reliability")


def _curve(scores: Floats, labels: Labels) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return recall and precision, at most 200 points of the curve."""
    known = labels >= 0
    order = np.argsort(-scores[known], kind="stable")
    hits = np.cumsum(labels[known][order] == 1)
    if not len(hits) or not hits[-1]:
        return np.array([]), np.array([])
    some = np.unique(np.searchsorted(hits, np.linspace(1, hits[-1], min(200, int(hits[-1])))))
    return hits[some] / hits[-1], hits[some] / (some + 1)
