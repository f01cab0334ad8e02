"""matplotlib's drawings as SVG in a page's text colour."""

import io
from collections.abc import Callable
from typing import Any, Final

import matplotlib as mpl
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hangtag.quality.charts import COLOURS

# Stands in for the page's text colour until the SVG is written: matplotlib has no currentColor.
INK: Final = "#010203"
_STYLE: Final[dict[Any, Any]] = {
    "svg.fonttype": "none",  # text stays text
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": cycler(color=COLOURS),
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
    "legend.frameon": False,
    "axes.grid": True,
    "grid.color": INK,
    "grid.alpha": 0.15,
}


def svg(draw: Callable[[Axes], None], name: str, size: tuple[float, float] = (5.6, 3.6)) -> str:
    """Return what `draw` draws, as SVG of the page's width.

    `name` is its text for screen readers; `size`, in inches, gives its proportions.
    """
    with mpl.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=size, layout="constrained")
        figure.patch.set_alpha(0)
        axes = figure.add_subplot()
        axes.patch.set_alpha(0)
        draw(axes)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None})
    text = file.getvalue()
    # Without the XML prologue, as the page is HTML, and without a fixed size.
    drawing = text[text.index("<svg") :].replace(INK, "currentColor")
    opening, rest = drawing.split(">", 1)
    kept = [part for part in opening.split(" ") if not part.startswith(("width=", "height="))]
    return " ".join(kept) + f' role="img" aria-label="{name}">' + rest
