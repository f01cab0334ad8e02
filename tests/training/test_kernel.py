"""Kernel ridge regression: closed forms against refitting, landmarks, the layer, what is chosen."""

import numpy as np
import pytest
from numpy.typing import NDArray

from hangtag.training import kernel
from hangtag.training.kernel import KernelSettings, choose_landmarks, fit, standardised

WIDTHS = (20, 10)
SETTINGS = KernelSettings(WIDTHS, gamma=0.7, lam=0.1)
Drawn = tuple[NDArray[np.float32], NDArray[np.int8], NDArray[np.int64]]


@pytest.fixture
def drawn() -> Drawn:
    """Features of 240 designs in 100 groups that tell something of their five tags."""
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 100, 240)
    labels = (rng.random((100, 5)) < 0.3).astype(np.int8)[groups]
    features = rng.normal(size=(240, 30)) + labels @ rng.normal(size=(5, 30)) * 2
    return features.astype(np.float32), labels, groups


def refitted(
    drawn: Drawn, landmarks: NDArray[np.int64], group: int
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return who is in a group, and the regression's outputs for them without the group."""
    features, labels, groups = drawn
    designs = standardised(features, *moments(features), WIDTHS)
    left_out = groups == group
    others = halved(designs[landmarks[groups[landmarks] != group]])
    targets = labels - labels.mean(axis=0)
    rows = kernel.kernel(designs[~left_out], others, SETTINGS).astype(np.float64)
    ridge = SETTINGS.lam * kernel.kernel(others, others, SETTINGS).astype(np.float64)
    weights = np.linalg.solve(
        rows.T @ rows + ridge + 1e-9 * np.eye(len(others)), rows.T @ targets[~left_out]
    )
    found = kernel.kernel(designs[left_out], others, SETTINGS) @ weights + labels.mean(axis=0)
    return left_out, found


def halved(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return values as half precision keeps them."""
    return values.astype(np.float16).astype(np.float32)


def moments(features: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    return features.mean(axis=0), 1 / (features.std(axis=0) + np.float32(kernel.NOISE))


def positions(landmarks: NDArray[np.float32], designs: NDArray[np.float32]) -> NDArray[np.int64]:
    return np.flatnonzero(
        [any(np.allclose(one, other, atol=1e-3) for other in landmarks) for one in designs]
    )


def only(monkeypatch: pytest.MonkeyPatch, **values: object) -> None:
    """Leave one gamma and lambda to choose from, so that results can be computed in other ways."""
    for name, value in {"GAMMAS": (0.7, 0.7), "LAMBDAS": (0.1, 0.1), **values}.items():
        monkeypatch.setattr(kernel, name, value)


def test_predictions_without_a_group_equal_those_of_a_head_fitted_without_it(
    drawn: Drawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch)
    fitted = fit(*drawn, WIDTHS)
    np.testing.assert_array_equal(fitted.left_out, fitted.logits)
    for group in range(8):
        left_out, found = refitted(drawn, np.arange(240), group)
        expected = kernel.to_logits(found)
        np.testing.assert_allclose(fitted.logits[left_out], expected, atol=2e-3)


@pytest.mark.parametrize("exact", [1000, 100])
def test_predictions_without_the_design_alone_know_its_group(
    drawn: Drawn, monkeypatch: pytest.MonkeyPatch, exact: int
) -> None:
    only(monkeypatch, EXACT=exact, LANDMARKS=80, BLOCK=32)
    features, labels, _ = drawn
    fitted, alone = fit(*drawn, WIDTHS), fit(features, labels, np.arange(240), WIDTHS)
    np.testing.assert_allclose(fitted.unseen, alone.left_out, atol=2e-3)
    assert (np.abs(fitted.unseen - fitted.left_out).max(axis=1) > 0.01).mean() > 0.5


@pytest.mark.parametrize("large", [1000, 2, 0])
def test_with_landmarks_a_group_is_left_out_as_designs_and_as_landmarks(
    drawn: Drawn, monkeypatch: pytest.MonkeyPatch, large: int
) -> None:
    only(monkeypatch, EXACT=100, LANDMARKS=80, BLOCK=32, LARGE=large)
    fitted = fit(*drawn, WIDTHS)
    designs = standardised(drawn[0], *moments(drawn[0]), WIDTHS)
    landmarks = positions(fitted.head.landmarks, designs)
    assert len(landmarks) == 80
    kept = fitted.head.landmarks
    np.testing.assert_array_equal(kept, halved(kept))  # fitted to what a model keeps of them
    np.testing.assert_array_equal(fitted.left_out, fitted.logits[landmarks])
    shared = set(drawn[2][landmarks][:6])
    assert shared
    for group in shared:
        left_out, found = refitted(drawn, landmarks, group)
        expected = kernel.to_logits(found)
        np.testing.assert_allclose(fitted.logits[left_out], expected, atol=2e-2)


@pytest.mark.parametrize("large", [1000, 2])
def test_landmarks_are_predicted_in_any_case(
    drawn: Drawn, monkeypatch: pytest.MonkeyPatch, large: int
) -> None:
    only(monkeypatch, EXACT=100, LANDMARKS=80, BLOCK=32, LARGE=large)
    fitted = fit(*drawn, WIDTHS, predict=60)
    assert 0 < len(fitted.predicted) <= 60
    assert fitted.left_out.shape == (80, drawn[1].shape[1])
    designs = standardised(drawn[0], *moments(drawn[0]), WIDTHS)
    landmarks = positions(fitted.head.landmarks, designs)
    both, one, other = np.intersect1d(landmarks, fitted.predicted, return_indices=True)
    assert len(both) > 5
    np.testing.assert_array_equal(fitted.left_out[one], fitted.logits[other])
    group = drawn[2][np.setdiff1d(landmarks, both)[0]]
    left_out, found = refitted(drawn, landmarks, group)
    expected = kernel.to_logits(found)[np.isin(np.flatnonzero(left_out), landmarks)]
    np.testing.assert_allclose(fitted.left_out[left_out[landmarks]], expected, atol=2e-2)
    nothing = fit(*drawn, WIDTHS, predict=0)
    assert len(nothing.left_out) == len(nothing.unseen) == 0


@pytest.mark.parametrize(("sizes", "expected"), [((120, 60, 60), 60), ((120, 120), 50)])
def test_a_group_that_is_too_large_does_not_end_the_choice(
    drawn: Drawn, monkeypatch: pytest.MonkeyPatch, sizes: tuple[int, ...], expected: int
) -> None:
    """Where none is small enough, designs are asked for whose group is left out whole."""
    only(monkeypatch, EXACT=100, LANDMARKS=80, BLOCK=32, LARGE=100)
    groups = np.repeat(np.arange(len(sizes)), sizes)
    features, labels, _ = drawn
    fitted = fit(features, labels, groups, WIDTHS, predict=100 if expected == 60 else 50)
    assert len(fitted.predicted) == expected
    landmarks = positions(fitted.head.landmarks, standardised(features, *moments(features), WIDTHS))
    for group in set(groups[fitted.predicted].tolist()):
        left_out, found = refitted((features, labels, groups), landmarks, group)
        wanted = np.isin(np.flatnonzero(left_out), fitted.predicted)
        got = fitted.logits[groups[fitted.predicted] == group]
        np.testing.assert_allclose(got, kernel.to_logits(found)[wanted], atol=2e-2)


def test_all_designs_as_landmarks_give_the_exact_head(
    drawn: Drawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch)
    exact = fit(*drawn, WIDTHS)
    only(monkeypatch, EXACT=100, LANDMARKS=240)
    approximated = fit(*drawn, WIDTHS)
    new = drawn[0] + np.float32(0.1)
    np.testing.assert_allclose(approximated.head.logits(new), exact.head.logits(new), atol=0.02)


def test_a_design_whose_group_tells_all_is_not_predicted_by_it() -> None:
    """Twins share a random tag: known with the twin in the fit, unknown without the group."""
    rng = np.random.default_rng(1)
    features = np.repeat(rng.normal(size=(100, 30)), 2, axis=0).astype(np.float32)
    labels = np.repeat(rng.integers(0, 2, (100, 1)), 2, axis=0).astype(np.int8)
    together = fit(features, labels, np.repeat(np.arange(100), 2), WIDTHS)
    alone = fit(features, labels, np.arange(200), WIDTHS)

    def right(logits: NDArray[np.float32]) -> float:
        return float(((logits > np.median(logits)) == (labels == 1)).mean())

    assert right(alone.logits) > 0.95
    assert right(together.logits) < 0.7


def test_landmarks_are_spread_over_what_differs() -> None:
    """Of two crowds of nearly equal designs and a few others, the others are all chosen."""
    rng = np.random.default_rng(2)
    crowd = np.repeat(rng.normal(size=(2, 30)), 150, axis=0)
    crowd += rng.normal(size=crowd.shape) * 1e-3
    features = np.concatenate([crowd, rng.normal(size=(12, 30))]).astype(np.float32)
    designs = standardised(features, *moments(features), WIDTHS)
    chosen = choose_landmarks(designs, SETTINGS, 80, rng)
    assert len(set(chosen.tolist())) == 80
    assert np.isin(np.arange(300, 312), chosen).all()


def test_a_library_of_copies_has_landmarks_too() -> None:
    features = np.repeat(np.random.default_rng(5).normal(size=(4, 30)), 50, axis=0)
    designs = standardised(features.astype(np.float32), *moments(features.astype(np.float32)),
                           WIDTHS)  # fmt: skip
    chosen = choose_landmarks(designs, SETTINGS, 60, np.random.default_rng(6))
    assert len(set(chosen.tolist())) == 60
    assert {position // 50 for position in chosen.tolist()} == {0, 1, 2, 3}


def test_the_same_seed_gives_the_same_head(drawn: Drawn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "EXACT", 100)
    monkeypatch.setattr(kernel, "LANDMARKS", 50)
    monkeypatch.setattr(kernel, "CHOOSING", 60)
    one, other = (fit(*drawn, WIDTHS, seed=3).head for _ in range(2))
    assert one.settings == other.settings
    np.testing.assert_array_equal(one.weights, other.weights)


def test_unknown_tags_count_as_no(drawn: Drawn) -> None:
    features, labels, groups = drawn
    unknown = np.where(labels == 0, np.int8(-1), labels)
    head = fit(features, labels, groups, WIDTHS).head
    np.testing.assert_array_equal(fit(features, unknown, groups, WIDTHS).head.weights, head.weights)


@pytest.mark.parametrize("designs", [1, 2, 5])
def test_hardly_any_designs_and_tags_that_nobody_gave(drawn: Drawn, designs: int) -> None:
    features, labels, groups = (values[:designs] for values in drawn)
    for given in (labels, np.full_like(labels, -1), np.ones_like(labels)):
        for known in (groups, np.zeros_like(groups)):
            fitted = fit(features, given, known, WIDTHS)
            assert np.isfinite(fitted.logits).all()
            assert np.isfinite(fitted.head.logits(drawn[0])).all()
