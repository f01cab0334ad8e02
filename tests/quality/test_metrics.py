"""The figures: by hand, and against scikit-learn."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from hangtag.quality import metrics
from hangtag.quality.bootstrap import affordable, bootstrap_interval

NAN = float("nan")


def library(
    seed: int, designs: int = 300, tags: int = 12, *, ties: bool = False, unknown: float = 0.0
) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
    """Draw scores and labels; the last tag has no yes, the first a constant score."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((designs, tags)) < 0.1).astype(np.int8)
    scores = 1 / (1 + np.exp(2 - rng.normal(size=labels.shape) - 2 * labels))
    scores[:, 0] = 0.25
    labels[:, -1] = 0
    labels[rng.random(labels.shape) < unknown] = -1
    return (scores.round(2) if ties else scores), labels


def sklearn_ap(scores: NDArray[np.float64], labels: NDArray[np.int8]) -> float:
    from sklearn.metrics import average_precision_score  # a second to import

    known = labels >= 0
    if not (labels == 1).any():
        return NAN
    return float(average_precision_score(labels[known], scores[known]))


def test_average_precision_by_hand() -> None:
    scores = np.array([[0.9, 0.5], [0.8, 0.5], [0.7, 0.5], [0.6, 0.5]])
    labels = np.array([[1, 1], [0, 0], [1, 0], [0, 0]], np.int8)
    # First tag: 1 of 1, then 2 of 3. Second: four equal scores are one step, 1 of 4.
    expected = [(1 + 2 / 3) / 2, 1 / 4]
    assert metrics.average_precision(scores, labels) == pytest.approx(expected, abs=1e-15)
    assert metrics.macro_map(scores, labels) == pytest.approx(np.mean(expected), abs=1e-15)
    # Together: .9 yes, .8 no, .7 yes, .6 no, then four at .5 with one yes among them.
    assert metrics.micro_map(scores, labels) == pytest.approx((1 + 2 / 3 + 3 / 8) / 3, abs=1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("unknown", [0.0, 0.3])
def test_average_precision_is_scikit_learns(dtype: type, ties: bool, unknown: float) -> None:
    for seed in range(5):
        drawn, labels = library(seed, ties=ties, unknown=unknown)
        scores = drawn.astype(dtype)
        expected = [sklearn_ap(scores[:, tag], labels[:, tag]) for tag in range(12)]
        found = metrics.average_precision(scores, labels)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)
        assert found.dtype == np.float64
        assert np.isnan(found[-1])
        assert metrics.macro_map(scores, labels) == pytest.approx(np.nanmean(expected), abs=1e-9)
        assert metrics.micro_map(scores, labels) == pytest.approx(
            sklearn_ap(scores.ravel(), labels.ravel()), abs=1e-9
        )


def test_a_perfect_and_a_reversed_ranking() -> None:
    labels = np.array([[1], [1], [0], [0]], np.int8)
    scores = np.array([[0.9], [0.8], [0.2], [0.1]])
    assert metrics.macro_map(scores, labels) == 1
    assert metrics.macro_map(1 - scores, labels) == pytest.approx((1 / 3 + 2 / 4) / 2)


def test_precision_at_by_hand() -> None:
    scores = np.array([[0.9, 0.8, 0.1], [0.2, 0.9, 0.8], [0.9, 0.1, 0.1], [0.5, 0.5, 0.5]])
    labels = np.array([[1, 0, 1], [1, -1, 1], [0, 0, 0], [1, 0, 0]], np.int8)
    # Design 2: the unknown tag is passed over. Design 3 has no yes. Design 4: the first tag wins.
    assert metrics.precision_at(scores, labels, 1) == pytest.approx((1 + 1 + 1) / 3)
    assert metrics.precision_at(scores, labels, 2) == pytest.approx((1 / 2 + 2 / 2 + 1 / 2) / 3)
    # An unknown cell fills no place, and three tags cannot fill five places.
    assert metrics.precision_at(scores, labels, 3) == pytest.approx((2 + 2 + 1) / 3 / 3)
    assert metrics.precision_at(scores, labels, 5) == pytest.approx((2 + 2 + 1) / 5 / 3)
    with pytest.raises(ValueError, match="at least 1"):
        metrics.precision_at(scores, labels, 0)


@pytest.mark.parametrize("per_tag", [False, True])
def test_f1_is_scikit_learns(per_tag: bool) -> None:
    from sklearn.metrics import f1_score

    scores, labels = library(1, ties=True)
    thresholds = np.linspace(0.1, 0.6, 12) if per_tag else 0.3
    asked = labels.any(axis=0)
    found = (scores >= thresholds).astype(int)
    macro = f1_score(labels[:, asked], found[:, asked], average="macro")
    assert metrics.macro_f1(scores, labels, thresholds) == pytest.approx(macro, abs=1e-12)
    micro = f1_score(labels, found, average="micro")
    assert metrics.micro_f1(scores, labels, thresholds) == pytest.approx(micro, abs=1e-12)


def test_counts_and_f1_by_hand() -> None:
    scores = np.array([[0.9, 0.1], [0.6, 0.1], [0.6, 0.1], [0.2, 0.9]])
    labels = np.array([[1, 0], [0, 0], [-1, 0], [1, 0]], np.int8)
    counts = metrics.count(scores, labels, 0.6)
    assert [values.tolist() for values in counts] == [[1, 0], [2, 1], [2, 0]]
    np.testing.assert_array_equal(metrics.f1_per_tag(counts), [0.5, NAN])
    assert metrics.micro_f1(scores, labels, 0.6) == pytest.approx(2 / (3 + 2))


def test_accuracy_stands_beside_tag_nothing() -> None:
    scores = np.array([[0.9, 0.4, 0.7], [0.1, 0.5, 0.7]])
    labels = np.array([[1, 1, -1], [0, 0, 0]], np.int8)
    assert metrics.element_accuracy(scores, labels) == pytest.approx(2 / 5)
    assert metrics.element_accuracy(scores, labels, 0.75) == pytest.approx(4 / 5)
    assert metrics.tag_nothing_accuracy(labels) == pytest.approx(3 / 5)


def test_calibration_error_by_hand() -> None:
    scores = np.array([[0.1], [0.3], [0.7], [1.0], [0.9]])
    labels = np.array([[0], [1], [1], [1], [-1]], np.int8)
    # Two bins: {.1, .3} means .2 with half yes, {.7, 1} means .85 with all yes.
    expected = (2 * 0.3 + 2 * 0.15) / 4
    assert metrics.expected_calibration_error(scores, labels, bins=2) == pytest.approx(expected)
    above = metrics.expected_calibration_error(scores, labels, bins=2, above=0.5)
    assert above == pytest.approx(0.15)


def test_calibration_error_of_honest_scores_is_small() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random((20_000, 2))
    honest = (rng.random(scores.shape) < scores).astype(np.int8)
    assert metrics.expected_calibration_error(scores, honest) < 0.015
    assert metrics.expected_calibration_error(scores**2, honest) > 0.1


def test_unknown_cells_change_nothing() -> None:
    scores, labels = library(3, unknown=0.3)
    other = np.where(labels == -1, 1 - scores, scores)
    assert dict(metrics.summary(scores, labels, scores >= 0.3)) == dict(
        metrics.summary(other, labels, other >= 0.3)
    )


def test_summary_names_and_sizes() -> None:
    scores, labels = library(4)
    figures = dict(metrics.summary(scores, labels, scores >= 0.3))
    assert next(iter(figures)) == "macro_map"
    assert set(figures) == {
        *("macro_map", "micro_map", "precision_at_1", "precision_at_3", "precision_at_5"),
        *("macro_f1", "micro_f1", "micro_precision", "micro_recall"),
        *("accuracy", "tag_nothing_accuracy"),
        *("calibration_error", "calibration_error_above_0.1"),
        *("designs", "tags", "tags_with_yes"),
    }
    assert (figures["designs"], figures["tags"], figures["tags_with_yes"]) == (300, 12, 11)
    precision, recall = figures["micro_precision"], figures["micro_recall"]
    assert figures["micro_f1"] == pytest.approx(2 * precision * recall / (precision + recall))


def test_nothing_to_measure_is_nan() -> None:
    scores, labels = np.full((3, 2), 0.5), np.full((3, 2), -1, np.int8)
    figures = dict(metrics.summary(scores, labels, scores >= 0.5))
    sizes = {name: figures.pop(name) for name in ("designs", "tags", "tags_with_yes")}
    assert list(sizes.values()) == [3, 2, 0]
    assert all(math.isnan(value) for value in figures.values())
    low, high = bootstrap_interval(scores, labels)["macro_map"]
    assert math.isnan(low)
    assert math.isnan(high)


def test_bootstrap_is_what_drawing_designs_gives() -> None:
    scores, labels = library(5, designs=150, tags=6, ties=True, unknown=0.1)
    found = bootstrap_interval(scores, labels, resamples=1500)
    rng = np.random.default_rng(1)
    for name, figure in (("macro_map", metrics.macro_map), ("micro_map", metrics.micro_map)):
        draws = rng.integers(150, size=(1500, 150))
        resampled = np.array([figure(scores[draw], labels[draw]) for draw in draws])
        centred = resampled - resampled.mean() + figure(scores, labels)
        assert found[name] == pytest.approx(np.quantile(centred, (0.025, 0.975)), abs=0.012)
        assert found[name][0] < figure(scores, labels) < found[name][1]


def test_bootstrap_draws_whole_groups() -> None:
    scores, labels = library(6, designs=80, tags=5)
    alone = bootstrap_interval(scores, labels, resamples=100)
    # Average precision does not change when every design is there three times.
    thrice = scores.repeat(3, axis=0), labels.repeat(3, axis=0)
    names = [f"group {row:02}" for row in range(80) for _ in range(3)]
    grouped = bootstrap_interval(*thrice, names, resamples=100)
    assert grouped["macro_map"] == pytest.approx(alone["macro_map"], abs=1e-9)
    assert grouped["micro_map"] == pytest.approx(alone["micro_map"], abs=1e-9)
    apart = bootstrap_interval(*thrice, resamples=100)
    assert np.diff(apart["macro_map"]) < 0.8 * np.diff(grouped["macro_map"])


def test_bootstrap_repeats_with_its_seed() -> None:
    scores, labels = library(7)
    first, again, other = (
        bootstrap_interval(scores, labels, resamples=50, seed=seed) for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_wrong_arrays_are_refused() -> None:
    scores, labels = library(8)
    with pytest.raises(ValueError, match="designs, tags"):
        metrics.macro_map(scores, labels[:, 1:])
    with pytest.raises(ValueError, match="logits"):
        metrics.macro_map(np.log(scores), labels)
    with pytest.raises(ValueError, match="NaN"):
        metrics.macro_map(np.where(scores > 0.5, NAN, scores), labels)
    with pytest.raises(ValueError, match="-1"):
        metrics.macro_map(scores, labels * np.int8(2))
    with pytest.raises(ValueError, match="299 groups for 300"):
        bootstrap_interval(scores, labels, ["a"] * 299)


def test_fewer_resamples_are_drawn_of_many_cells() -> None:
    small, large = np.zeros((1000, 100), np.int8), np.broadcast_to(np.int8(0), (50_000, 334))
    assert affordable(small, 1000) == 1000
    assert 200 <= affordable(large, 1000) < 300
    assert affordable(small, 50) == 50
