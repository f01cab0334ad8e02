"""The report's plots, as SVG that takes the page's text colour."""

import io
from collections.abc import Sequence
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from hangtag.quality.metrics import Floats, Labels

# Stands for the page's text colour until the SVG is written: matplotlib knows no currentColor.
_INK: Final = "#010203"
_COLOURS: Final = ("#0a7ea4", "#d1495b", "#66a182", "#edae49", "#8d6cab", "#8c6d46")
_STYLE: Final[dict[Any, Any]] = {
    "svg.fonttype": "none",  # text stays text
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": cycler(color=_COLOURS),
    "xtick.color": _INK,
    "ytick.color": _INK,
    "text.color": _INK,
    "legend.frameon": False,
    "axes.grid": True,
    "grid.color": _INK,
    "grid.alpha": 0.15,
}


def training_curves(history: Sequence[dict[str, str]]) -> str:
    """Draw loss and validation scores over the epochs, from the rows of history.csv."""
    epochs = [int(row["epoch"]) for row in history]

    def draw(axes: Axes) -> None:
        for name, label in (("macro", "macro mAP"), ("micro", "micro mAP")):
            values = [float(row[f"validation_{name}_map"]) for row in history]
            axes.plot(epochs, values, label=label)
        axes.set(xlabel="epoch", ylabel="on validation", ylim=(0, None))
        loss = axes.twinx()
        loss.plot(epochs, [float(row["train_loss"]) for row in history], color=_INK, ls=":")
        loss.set(ylabel="training loss (dotted)")
        loss.grid(False)
        axes.legend(loc="lower right")

    return _svg(draw, "training")


def precision_recall(
    curves: Sequence[tuple[str, Floats, Labels]], points: Sequence[tuple[str, float, float]]
) -> str:
    """Draw precision over recall: `curves` (name, scores, labels), the first one bold, and marked
    `points` (name, recall, precision)."""

    def draw(axes: Axes) -> None:
        for place, (name, scores, labels) in enumerate(curves):
            recall, precision = _curve(scores, labels)
            axes.plot(recall, precision, label=name, lw=2.5 if place == 0 else 1)
        for name, recall_at, precision_at in points:
            axes.plot(recall_at, precision_at, "o", color=_INK)
            axes.annotate(
                name, (recall_at, precision_at), xytext=(6, 6), textcoords="offset points"
            )
        axes.set(
            xlabel="share of all tags found", ylabel="share right", xlim=(0, 1), ylim=(0, 1.02)
        )
        axes.legend(loc="lower left", fontsize=8)

    return _svg(draw, "precision-recall")


def reliability(scores: Floats, labels: Labels, bins: int = 15) -> str:
    """Draw the share of yes over the score, in bins of equal width, with how many lie in each."""
    known = labels >= 0
    values, yes = scores[known].astype(np.float64), labels[known] == 1
    place = np.minimum((values * bins).astype(np.intp), bins - 1)
    count = np.bincount(place, minlength=bins)
    filled = count > 0
    mean = np.bincount(place, values, bins)[filled] / count[filled]
    share = np.bincount(place, yes, bins)[filled] / count[filled]
    # Half a 95 % interval of a share of so many.
    spread = 1.96 * np.sqrt(share * (1 - share) / count[filled])

    def draw(axes: Axes) -> None:
        axes.plot((0, 1), (0, 1), color=_INK, ls=":", label="perfect")
        axes.errorbar(mean, share, spread, marker="o", capsize=2, label="this model")
        axes.set(xlabel="score", ylabel="share that people tagged", xlim=(0, 1), ylim=(0, 1.02))
        axes.legend(loc="upper left")
        number = axes.twinx()
        edges = np.linspace(0, 1, bins + 1)
        number.bar(edges[:-1], count, 1 / bins, align="edge", color=_INK, alpha=0.12)
        number.set(yscale="log", ylabel="scores (log)")
        number.grid(False)

    return _svg(draw, "reliability")


def _curve(scores: Floats, labels: Labels) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return recall and precision, thinned to what a screen shows."""
    known = labels >= 0
    order = np.argsort(-scores[known], kind="stable")
    hits = np.cumsum(labels[known][order] == 1)
    if not len(hits) or not hits[-1]:
        return np.array([]), np.array([])
    some = np.unique(np.searchsorted(hits, np.linspace(1, hits[-1], min(200, int(hits[-1])))))
    return hits[some] / hits[-1], hits[some] / (some + 1)


def _svg(draw: Any, name: str) -> str:
    with mpl.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=(5.6, 3.6), layout="constrained")
        figure.patch.set_alpha(0)
        axes = figure.add_subplot()
        axes.patch.set_alpha(0)
        draw(axes)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None})
    text = file.getvalue()
    # Only the drawing: the page is HTML. Sizes give way to the page's width.
    drawing = text[text.index("<svg") :].replace(_INK, "currentColor")
    opening, rest = drawing.split(">", 1)
    kept = [part for part in opening.split(" ") if not part.startswith(("width=", "height="))]
    return " ".join(kept) + f' role="img" aria-label="{name}">' + rest
