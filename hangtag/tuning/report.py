"""A study -> report.html: what was tried, the scores, which settings matter. No torch."""

from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState

from hangtag import __version__
from hangtag.quality.pages import render
from hangtag.storage.files import write_text
from hangtag.tuning.figures import INK, svg
from hangtag.tuning.summary import Summary, plain, seconds

REPORT: Final = "report.html"


def write_report(summary: Summary, folder: Path) -> Path:
    """Write report.html into the study's folder and return its path."""
    path = folder / REPORT
    plots = {"importance": "", "parallel": ""}
    plots["history"] = svg(lambda axes: _history(axes, summary), "scores of all trials")
    plots["epochs"] = svg(lambda axes: _epochs(axes, summary), "scores over the epochs")
    plots["time"] = svg(lambda axes: _time(axes, summary), "time of each trial")
    importances = summary.importances()
    if importances:
        plots["importance"] = svg(lambda axes: _importance(axes, importances), "importance")
    if summary.best is not None and len(summary.finished) > 1:
        plots["parallel"] = svg(lambda axes: _parallel(axes, summary), "settings", (11.5, 4))
    names = list(dict.fromkeys(name for one in summary.finished for name in one.params))
    page = render(
        "study.html.j2",
        summary=summary,
        version=__version__,
        day=date.today().isoformat(),
        plots=plots,
        names=names,
        rows=[_row(one, names) for one in sorted(summary.finished, key=_sort_key)],
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_text(path, page)
    return path


def _sort_key(trial: FrozenTrial) -> tuple[bool, float]:
    value = -1.0 if trial.value is None else trial.value
    return trial.state == TrialState.PRUNED, -value


def _row(trial: FrozenTrial, names: Sequence[str]) -> dict[str, Any]:
    return {
        "number": trial.number,
        "value": trial.value,
        "epochs": trial.last_step or 0,
        "minutes": seconds(trial) / 60,
        "ended": "stopped early" if trial.state == TrialState.PRUNED else "complete",
        "error": trial.user_attrs.get("error", ""),
        "defaults": bool(trial.user_attrs.get("defaults")),
        "params": [plain(trial.params.get(name, "")) for name in names],
    }


def _ends(trials: Sequence[FrozenTrial], state: TrialState) -> tuple[list[int], list[float]]:
    chosen = [one for one in trials if one.state == state and one.value is not None]
    return [one.number for one in chosen], [float(one.value or 0) for one in chosen]


def _history(axes: Axes, summary: Summary) -> None:
    complete = _ends(summary.finished, TrialState.COMPLETE)
    axes.plot(*_ends(summary.pruned, TrialState.PRUNED), "x", color=INK, alpha=0.5,
              label="stopped early")  # fmt: skip
    axes.plot(*complete, "o", label="complete")
    if complete[0]:
        axes.step(
            complete[0], np.maximum.accumulate(complete[1]), where="post", label="best so far"
        )
    if summary.defaults is not None and summary.defaults.value is not None:
        axes.axhline(summary.defaults.value, color=INK, ls=":", label="starting settings")
    axes.set(xlabel="trial", ylabel=summary.objective)
    axes.legend(loc="lower right", fontsize=8)


def _epochs(axes: Axes, summary: Summary) -> None:
    for one in summary.finished:
        best = summary.best is not None and one.number == summary.best.number
        epochs, values = list(one.intermediate_values), list(one.intermediate_values.values())
        if best:
            axes.plot(epochs, values, lw=2.5, color="#d1495b", zorder=3, label="best")
        elif one.user_attrs.get("defaults"):
            axes.plot(epochs, values, lw=2, color=INK, ls=":", zorder=3, label="starting settings")
        else:
            axes.plot(epochs, values, lw=1, color="#0a7ea4", alpha=0.6)
        if one.state == TrialState.PRUNED and epochs:
            axes.plot(epochs[-1], values[-1], "x", color=INK, alpha=0.6)
    axes.set(xlabel="epoch (x: stopped early)", ylabel=summary.objective)
    axes.legend(loc="lower right", fontsize=8)


def _time(axes: Axes, summary: Summary) -> None:
    """Draw a bar per trial from its start to its end, which shows idle and lost time."""
    begun = [one for one in summary.trials if one.datetime_start is not None]
    zero = min((one.datetime_start for one in begun if one.datetime_start), default=datetime.now())
    kinds = {
        TrialState.COMPLETE: ("complete", "#66a182"),
        TrialState.PRUNED: ("stopped early", "#edae49"),
        TrialState.FAIL: ("interrupted", "#d1495b"),
        TrialState.RUNNING: ("running", "#0a7ea4"),
    }
    for state, (label, colour) in kinds.items():
        some = [one for one in begun if one.state == state]
        starts = [(one.datetime_start - zero).total_seconds() / 60 for one in some
                  if one.datetime_start]  # fmt: skip
        if some:
            lengths = [seconds(one) / 60 for one in some]
            axes.barh([one.number for one in some], lengths, left=starts, color=colour, label=label)
    axes.set(xlabel="minutes since the first trial", ylabel="trial")
    axes.legend(loc="lower right", fontsize=8)


def _importance(axes: Axes, importances: dict[str, float]) -> None:
    names = list(importances)[::-1]
    axes.barh(names, [importances[name] for name in names])
    axes.set(xlabel="share")


def _parallel(axes: Axes, summary: Summary) -> None:
    """Draw a line per trial through its settings, each between its limits, up to its score."""
    limits: dict[str, BaseDistribution] = {}
    for one in summary.finished:
        limits |= one.distributions
    trials = [one for one in summary.finished if one.value is not None]
    trials = sorted(trials, key=lambda one: float(one.value or 0))
    values = np.array([float(one.value or 0) for one in trials])
    spread = max(float(np.ptp(values)), 1e-12)
    for number, one in enumerate(trials):
        heights = [_height(limits[name], one.params.get(name)) for name in limits]
        end = (values[number] - values.min()) / spread
        best = summary.best is not None and one.number == summary.best.number
        style: dict[str, Any] = {"lw": 2.5, "color": "#d1495b", "zorder": 3} if best else {
            "lw": 1, "color": "#0a7ea4", "alpha": 0.1 + 0.6 * end}  # fmt: skip
        axes.plot(range(len(limits) + 1), [*heights, end], **style)
    axes.set_xticks(range(len(limits) + 1), [*limits, summary.objective.partition(":")[2]])
    axes.set_yticks([])
    for column, limit in enumerate(limits.values()):
        for height, text in _marks(limit):
            axes.annotate(text, (column, height), xytext=(3, 0), textcoords="offset points",
                          fontsize=7)  # fmt: skip
    for height, value in ((0, values.min()), (1, values.max())):
        axes.annotate(f"{value:.3f}", (len(limits), height), xytext=(3, 0),
                      textcoords="offset points", fontsize=7)  # fmt: skip
    axes.set_ylim(-0.08, 1.08)


def _height(limits: BaseDistribution, value: Any) -> float:
    """Return the position of a value between its limits, 0 to 1; NaN for None."""
    if value is None:
        return float("nan")
    if isinstance(limits, CategoricalDistribution):
        return limits.choices.index(value) / max(1, len(limits.choices) - 1)
    low, high, log = (getattr(limits, name) for name in ("low", "high", "log"))
    if low == high:
        return 0.5
    if log:
        return float(np.log(value / low) / np.log(high / low))
    return float((value - low) / (high - low))


def _marks(limits: BaseDistribution) -> list[tuple[float, str]]:
    values = (
        limits.choices
        if isinstance(limits, CategoricalDistribution)
        else (getattr(limits, "low"), getattr(limits, "high"))  # noqa: B009
    )
    return [(_height(limits, value), plain(value)) for value in values]
