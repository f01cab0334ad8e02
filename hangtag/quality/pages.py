"""The HTML pages that hangtag writes: templates, and plots in the page's text colour."""

import io
from collections.abc import Callable
from typing import Any, Final

import jinja2
import matplotlib as mpl
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Stands in for the page's text colour until the SVG is written: matplotlib has no currentColor.
INK: Final = "#010203"
_COLOURS: Final = ("#0a7ea4", "#d1495b", "#66a182", "#edae49", "#8d6cab", "#8c6d46")
_STYLE: Final[dict[Any, Any]] = {
    "svg.fonttype": "none",  # text stays text
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": cycler(color=_COLOURS),
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
    "legend.frameon": False,
    "axes.grid": True,
    "grid.color": INK,
    "grid.alpha": 0.15,
}


def render(template: str, **values: Any) -> str:
    """Render a template of hangtag/templates. A variable missing in `values` raises."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("hangtag"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(template).render(**values)


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
