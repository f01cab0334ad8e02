"""Charts: round ticks, places within the axes, names as text, and the plots drawn with them."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from hangtag.quality.charts import Chart, Scale
from hangtag.quality.plots import precision_recall, reliability, training_curves

UNIT = Scale("share", 0, 1)


@pytest.mark.parametrize(
    ("scale", "ticks"),
    [
        (UNIT, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (Scale("epoch", 1, 4, whole=True), [1, 2, 3, 4]),
        (Scale("epoch", 1, 90, whole=True), [20, 40, 60, 80]),
        (Scale("loss", 0, 0.031), [0, 0.01, 0.02, 0.03]),
        (Scale("scores", 1, 5000, log=True), [1, 10, 100, 1000]),
        (Scale("flat", 2, 2), [2]),
    ],
    ids=lambda value: value.label if isinstance(value, Scale) else "",
)
def test_ticks_are_round_and_within_the_range(scale: Scale, ticks: list[float]) -> None:
    assert scale.ticks() == pytest.approx(ticks)


def test_positions_stay_within_the_axes() -> None:
    assert [UNIT.position(value) for value in (-1, 0, 0.25, 1, 7)] == [0, 0, 0.25, 1, 1]
    assert Scale("n", 1, 100, log=True).position(10) == pytest.approx(0.5)
    assert Scale("n", 1, 100, log=True).position(0) == 0


def test_it_is_well_formed_and_says_what_it_is() -> None:
    chart = Chart("a < b", UNIT, UNIT)
    chart.line([(0, 0), (0.5, float("nan")), (1, 1)], "<script> & co", "#123456")
    chart.dots([(0.5, 0.5)], "#123456", "here")
    root = ElementTree.fromstring(chart.svg())
    assert (root.get("role"), root.get("aria-label")) == ("img", "a < b")
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"share", "0.2", "here", "<script> & co"} <= set(texts)
    (line,) = root.iter("{http://www.w3.org/2000/svg}polyline")
    assert len((line.get("points") or "").split()) == 2


def test_the_plots_of_a_report_can_be_drawn_from_little() -> None:
    row = {"epoch": "1", "validation_macro_map": "nan", "validation_micro_map": "0"}
    history = [row | {"train_loss": "nan"}, row | {"epoch": "2", "train_loss": "0.1"}]
    scores, labels = np.array([0.5], np.float32), np.array([-1], np.int8)
    for drawn in (
        training_curves(history),
        precision_recall([("all", scores, labels)], []),
        reliability(scores, labels),
        reliability(scores, labels + 2),
    ):
        ElementTree.fromstring(drawn)
        assert not re.search(r"\b(nan|inf)\b", drawn)
