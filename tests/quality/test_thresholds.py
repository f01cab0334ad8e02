"""Calibration and thresholds: on data whose truth is known."""

import numpy as np
import pytest
from numpy.typing import NDArray

from hangtag.library.vocabulary import Tag, Vocabulary
from hangtag.quality import metrics
from hangtag.quality.calibration import fit_calibration
from hangtag.quality.thresholds import fit_apply_thresholds, fit_thresholds, fitted
from hangtag.tagging.calibration import Calibration, with_implied


def expit(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-logits))


def draw(
    seed: int,
    designs: int,
    slope: list[float],
    intercept: list[float],
    *,
    mean: float = -2.0,
) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
    """Draw logits, and labels that are yes with probability expit(slope * logit + intercept)."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(mean, 2.5, size=(designs, len(slope)))
    truth = expit(logits * slope + intercept)
    return logits, (rng.random(truth.shape) < truth).astype(np.int8)


def test_calibration_finds_the_map_that_made_the_labels() -> None:
    logits, labels = draw(0, 20_000, [0.5] * 4, [-1.0] * 4)
    found = fit_calibration(logits, labels)
    assert found.slope == pytest.approx([0.5] * 4, abs=0.03)
    assert found.intercept == pytest.approx([-1.0] * 4, abs=0.08)


def test_a_common_tag_gets_its_own_map_and_a_rare_one_the_shared() -> None:
    logits, labels = draw(1, 6000, [1.0] * 7, [0, 0, 0, 0, 0, 1.5, 1.5])
    rare = labels.copy()
    rare[60:, 6] = -1  # nobody has looked at the seventh tag on most designs
    found = fit_calibration(logits, rare)
    shift = found.apply(np.full((1, 7), -2.0))[0]
    assert shift[5] > 0.8 * expit(np.array(-0.5))
    assert shift[6] < 0.25
    assert shift[0] == pytest.approx(expit(np.array(-2.0)), abs=0.03)


def test_calibration_improves_scores_on_designs_it_has_not_seen() -> None:
    shifts = np.random.default_rng(2).normal(-1.5, 0.3, 40).tolist()
    logits, labels = draw(2, 3000, [0.5] * 40, shifts)
    found = fit_calibration(logits[:1500], labels[:1500])
    raw, calibrated = expit(logits[1500:]), found.apply(logits[1500:])
    assert metrics.expected_calibration_error(raw, labels[1500:]) > 0.05
    assert metrics.expected_calibration_error(calibrated, labels[1500:]) < 0.01
    assert metrics.expected_calibration_error(calibrated, labels[1500:], above=0.1) < 0.02


def test_calibration_never_changes_a_ranking() -> None:
    # The third tag is learned the wrong way round: even that must not turn its ranking over.
    logits, labels = draw(3, 2000, [1.0, 0.7, -1.0], [0.0, 0.5, 0.0])
    found = fit_calibration(logits, labels)
    assert (found.slope > 0).all()
    before = metrics.average_precision(expit(logits), labels)
    after = metrics.average_precision(found.apply(logits), labels)
    np.testing.assert_array_equal(after, before)


def test_perfectly_separated_tags_stay_finite() -> None:
    logits = np.linspace(-8, 8, 400)[:, None] * np.ones(3)
    found = fit_calibration(logits, (logits > 0).astype(np.int8))
    assert np.isfinite(found.slope).all()
    assert (found.slope < 20).all()
    assert np.isfinite(found.intercept).all()


def test_logits_ten_times_too_sure_are_survived() -> None:
    logits, labels = draw(4, 20_000, [1.0] * 3, [0.5] * 3)
    found = fit_calibration(10 * logits, labels)
    assert found.slope == pytest.approx([0.1] * 3, abs=0.006)
    assert found.intercept == pytest.approx([0.5] * 3, abs=0.12)


def test_too_little_validation_data_leaves_the_scores_as_they_are() -> None:
    logits, labels = draw(5, 200, [0.3] * 3, [0.0] * 3)
    few = labels.copy()
    few[np.cumsum(few.ravel() == 1).reshape(few.shape) > 29] = 0
    found = fit_calibration(logits, few)
    np.testing.assert_array_equal(found.slope, 1)
    np.testing.assert_allclose(found.apply(logits), expit(logits), atol=1e-15)
    assert (fit_calibration(logits, labels).slope < 0.6).all()


def test_unknown_cells_do_not_count() -> None:
    logits, labels = draw(6, 800, [0.6] * 4, [0.5] * 4)
    labels[np.random.default_rng(6).random(labels.shape) < 0.4] = -1
    other = np.where(labels == -1, -logits, logits)
    first, second = fit_calibration(logits, labels), fit_calibration(other, labels)
    np.testing.assert_allclose(first.slope, second.slope, rtol=0, atol=1e-9)
    np.testing.assert_allclose(first.intercept, second.intercept, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(
        fit_thresholds(expit(logits), labels), fit_thresholds(expit(other), labels)
    )


def test_float32_and_float64_agree() -> None:
    logits = np.linspace(-60, 60, 5001, dtype=np.float32).repeat(3).reshape(-1, 3)
    found = Calibration(np.array([0.05, 1.0, 3.0]), np.array([-5.0, 0.0, 6.0]))
    single, double = found.apply(logits), found.apply(logits.astype(np.float64))
    assert (single.dtype, double.dtype) == (np.float32, np.float64)
    np.testing.assert_allclose(single, double, rtol=0, atol=1e-6)
    extreme = found.apply(np.array([[-1e6] * 3, [1e6] * 3]))
    np.testing.assert_array_equal(extreme, [[0] * 3, [1] * 3])


def test_calibration_of_a_vocabulary() -> None:
    found = Calibration.of([Tag("heart", calibration=(0.5, -1.0)), Tag("star")])
    scores = found.apply(np.array([[2.0, 2.0]]))
    np.testing.assert_allclose(scores, [[0.5, expit(np.array(2.0))]], atol=1e-15)
    assert Calibration.of([]).apply(np.zeros((2, 0))).shape == (2, 0)


def test_logits_that_cannot_be_fitted_are_refused() -> None:
    logits, labels = draw(7, 50, [1.0], [0.0])
    with pytest.raises(ValueError, match="finite"):
        fit_calibration(np.where(logits > 0, np.inf, logits), labels)
    with pytest.raises(ValueError, match="designs, tags"):
        fit_calibration(logits, labels[1:])
    with pytest.raises(ValueError, match="logits"):
        fit_thresholds(logits, labels)


def test_a_common_tag_is_suggested_at_its_best_f1() -> None:
    logits, labels = draw(8, 30_000, [1.5, 1.5], [-3.0, 2.0])
    scores = expit(logits)
    found = metrics.f1_per_tag(metrics.count(scores, labels, fit_thresholds(scores, labels)))
    tried = [metrics.count(scores, labels, cut) for cut in np.linspace(0.01, 0.99, 99)]
    best = np.max([metrics.f1_per_tag(counts) for counts in tried], axis=0)
    assert (found > best - 0.002).all()


def test_a_rare_tag_keeps_near_the_shared_threshold() -> None:
    logits, labels = draw(9, 2000, [1.5] * 12, [0.0] * 12)
    labels[:, 10] = 0
    labels[logits[:, 10].argmax(), 10] = 1  # one yes: its own best threshold would be near 1
    labels[:, 11] = 0
    found = fit_thresholds(expit(logits), labels)
    shared = found[11]
    assert abs(found[10] - shared) < 0.05
    assert 0.2 < shared < 0.6


def test_thresholds_of_nothing() -> None:
    scores, nothing = np.full((5, 3), 0.3), np.zeros((5, 3), np.int8)
    np.testing.assert_array_equal(fit_thresholds(scores, nothing), [0.5] * 3)


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_thresholds_stay_inside_their_range(score: float) -> None:
    labels = np.array([[1], [0], [1]] * 50, np.int8)
    found = fit_thresholds(np.full((150, 1), score), labels)
    assert ((found > 0) & (found < 1)).all()


def test_thresholds_beat_one_for_all_on_designs_they_have_not_seen() -> None:
    gains = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        slope, intercept = rng.uniform(0.6, 2, 40), rng.normal(-1.5, 1.5, 40)
        logits, labels = draw(seed, 8000, slope.tolist(), intercept.tolist(), mean=-3.0)
        (seen, unseen), (known, kept) = np.split(expit(logits), 2), np.split(labels, 2)
        shared = [metrics.macro_f1(seen, known, cut) for cut in np.linspace(0.05, 0.9, 60)]
        one = np.linspace(0.05, 0.9, 60)[np.argmax(shared)]
        own = fit_thresholds(seen, known)
        gains.append(metrics.macro_f1(unseen, kept, own) - metrics.macro_f1(unseen, kept, one))
    assert min(gains) > 0.002


def test_applied_tags_are_right_on_designs_not_seen() -> None:
    rights = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        slope, intercept = rng.uniform(0.8, 2.5, 60), rng.normal(-1.0, 1.0, 60)
        logits, labels = draw(seed, 6000, slope.tolist(), intercept.tolist(), mean=-2.5)
        logits = logits * slope + intercept  # calibrated, as scores are
        (seen, unseen), (known, kept) = np.split(expit(logits), 2), np.split(labels, 2)
        limits = fit_apply_thresholds(seen, known, fit_thresholds(seen, known))
        counts = metrics.count(unseen, kept, np.where(np.isnan(limits), np.inf, limits))
        rights.append(metrics.precision(counts))
        assert metrics.recall(counts) > 0.05
    assert np.mean(rights) > 0.95
    assert min(rights) > 0.94


def test_a_tag_that_is_often_wrong_is_never_applied() -> None:
    logits, labels = draw(3, 4000, [1.0] * 8, [0.0] * 8)
    rng = np.random.default_rng(3)
    labels[:, 7] = rng.random(4000) < 0.5  # says nothing, whatever the score
    found = fit_apply_thresholds(expit(logits), labels, np.zeros(8))
    assert np.isnan(found[7])
    assert np.isfinite(found[:7]).any()


@pytest.mark.parametrize("designs", [500, 2000, 5000])
@pytest.mark.parametrize("seed", range(4))
def test_nothing_is_applied_that_is_not_even_suggested(designs: int, seed: int) -> None:
    """The sure hits of an easy tag would carry the bound down to scores where nothing is right."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((designs, 1)) < 0.3).astype(np.int8)
    logits = np.where(labels == 1, 6.0, -6.0) + rng.normal(0, 1.5, labels.shape)
    (tag,) = fitted(Vocabulary((Tag("easy"),)), logits, labels).tags
    assert tag.threshold is not None
    assert tag.apply_threshold is not None
    assert tag.apply_threshold >= tag.threshold


def test_nothing_is_applied_without_evidence() -> None:
    scores = np.full((40, 3), 0.99)
    assert np.isnan(fit_apply_thresholds(scores, np.zeros((40, 3), np.int8), np.zeros(3))).all()
    unknown = np.full((40, 3), -1, np.int8)
    assert np.isnan(fit_apply_thresholds(scores, unknown, np.zeros(3))).all()


def test_a_vocabulary_gets_all_that_is_fitted() -> None:
    logits, labels = draw(4, 3000, [2.0, 1.0], [0.0, -1.0])
    vocabulary = Vocabulary((Tag("rose", implies=("flower",)), Tag("flower")))
    rose, flower = fitted(vocabulary, logits, labels).tags
    assert rose.calibration is not None
    assert rose.calibration[0] == pytest.approx(2, rel=0.25)
    assert rose.implies == ("flower",)
    assert flower.threshold is not None
    raised = with_implied(np.array([[0.9, 0.2], [0.1, 0.4]]), vocabulary.implied)
    np.testing.assert_array_equal(raised, [[0.9, 0.9], [0.1, 0.4]])
