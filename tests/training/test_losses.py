"""Losses against values worked out by hand from the papers' equations."""

import math

import pytest
import torch

from hangtag.training.losses import asymmetric, bce, hill, selective, splc, weighted_bce

LOGITS = torch.tensor([[0.0, 2.0, -1.0]])


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_bce_is_the_mean_of_minus_log_likelihoods() -> None:
    labels = torch.tensor([[1, 0, -1]], dtype=torch.int8)
    expected = -(math.log(0.5) + math.log(1 - sigmoid(2)) + math.log(1 - sigmoid(-1))) / 3
    assert bce(LOGITS, labels).item() == pytest.approx(expected, rel=1e-6)


def test_weighted_bce_gives_yes_and_no_the_same_weight_in_sum() -> None:
    labels = torch.tensor([[1], [0], [0], [0]], dtype=torch.int8)
    frequencies = torch.tensor([0.25])
    at_zero = weighted_bce(torch.zeros(4, 1), labels, frequencies)
    assert at_zero.item() == pytest.approx(math.log(2), rel=1e-6)
    yes_only = weighted_bce(torch.zeros(1, 1), labels[:1], frequencies)
    assert yes_only.item() == pytest.approx(0.5 / 0.25 * math.log(2), rel=1e-6)


def test_asymmetric_loss_follows_the_paper() -> None:
    labels = torch.tensor([[1, -1, -1]], dtype=torch.int8)
    p = [max(sigmoid(x) - 0.05, 0) for x in (2.0, -1.0)]
    expected = -(math.log(0.5) + sum(q**4 * math.log(1 - q) for q in p)) / 3
    assert asymmetric(LOGITS, labels).item() == pytest.approx(expected, rel=1e-5)


def test_asymmetric_loss_without_focus_is_bce() -> None:
    labels = torch.tensor([[1, 0, -1]], dtype=torch.int8)
    plain = asymmetric(LOGITS, labels, gamma_negative=0, clip=0)
    assert plain.item() == pytest.approx(bce(LOGITS, labels).item(), rel=1e-6)


def test_asymmetric_loss_believes_a_reviewed_no() -> None:
    labels = torch.tensor([[1, 0, -1]], dtype=torch.int8)
    doubted = max(sigmoid(-1) - 0.05, 0)
    no = math.log(1 - sigmoid(2.0)) + doubted**4 * math.log(1 - doubted)
    found = asymmetric(LOGITS, labels).item()
    assert found == pytest.approx(-(math.log(0.5) + no) / 3, rel=1e-5)


def test_an_easy_no_below_the_clip_has_no_gradient() -> None:
    logits = torch.tensor([[-4.0, -1.0]], requires_grad=True)  # probabilities 0.018 and 0.27
    asymmetric(logits, torch.full((1, 2), -1, dtype=torch.int8)).backward()
    assert logits.grad is not None
    assert logits.grad[0, 0] == 0
    assert logits.grad[0, 1] > 0


def labelled(*values: int) -> torch.Tensor:
    return torch.tensor([values], dtype=torch.int8)


def test_hill_loss_follows_the_paper() -> None:
    p, yes = sigmoid(2.0), sigmoid(0.0 - 1)
    expected = (1 - yes) ** 2 * -math.log(yes) + (1.5 - p) * p**2 - math.log(1 - sigmoid(-1.0))
    assert hill(LOGITS, labelled(1, -1, 0)).item() == pytest.approx(expected / 3, rel=1e-5)


def test_hill_loss_pulls_most_at_one_half() -> None:
    logits = torch.tensor([[-3.0, 0.0, 3.0]], requires_grad=True)
    hill(logits, labelled(-1, -1, -1)).backward()
    p = [sigmoid(x) for x in (-3.0, 0.0, 3.0)]
    assert logits.grad is not None
    assert logits.grad[0].tolist() == pytest.approx([q**2 * (1 - q) ** 2 for q in p], rel=1e-4)


def test_splc_corrects_what_the_network_is_sure_of_from_the_second_epoch_on() -> None:
    labels = labelled(1, -1, -1)  # probabilities of the unknown: 0.88 and 0.27
    yes = sigmoid(0.0 - 1)
    given = (1 - yes) ** 2 * -math.log(yes)
    low = sigmoid(-1.0) ** 2 * -math.log(1 - sigmoid(-1.0))
    high = sigmoid(2.0)
    before = (given + high**2 * -math.log(1 - high) + low) / 3
    after = (given + (1 - high) ** 2 * -math.log(high) + low) / 3
    assert splc(LOGITS, labels, 0).item() == pytest.approx(before, rel=1e-5)
    assert splc(LOGITS, labels, 1).item() == pytest.approx(after, rel=1e-5)


def test_splc_never_corrects_a_reviewed_no() -> None:
    found = splc(torch.tensor([[2.0]]), labelled(0), 5)
    assert found.item() == pytest.approx(-math.log(1 - sigmoid(2.0)), rel=1e-5)


def test_selective_loss_leaves_out_the_likeliest_unknown_tags() -> None:
    p = sigmoid(-1.0)
    expected = (math.log(2) + p**4 * -math.log(1 - p)) / 3
    found = selective(LOGITS, labelled(1, -1, -1), ignored=1)
    assert found.item() == pytest.approx(expected, rel=1e-5)
    # A reviewed no is never left out, whatever its likelihood.
    q = sigmoid(2.0)
    expected = (math.log(2) + q * -math.log(1 - q)) / 3
    found = selective(LOGITS, labelled(1, 0, -1), ignored=1)
    assert found.item() == pytest.approx(expected, rel=1e-5)
    # Never more than half of the tags, or a small vocabulary would learn to say yes to all.
    few = selective(LOGITS, labelled(-1, -1, -1), ignored=5)
    assert few.item() == pytest.approx(selective(LOGITS, labelled(-1, -1, -1), ignored=1).item())
    assert few.item() > 0


LOSSES = {
    "asl": asymmetric, "hill": hill, "splc": lambda x, y: splc(x, y, 1), "selective": selective,
}  # fmt: skip


@pytest.mark.parametrize("logit", [-200.0, 200.0])
@pytest.mark.parametrize("label", [1, 0, -1])
@pytest.mark.parametrize("name", LOSSES)
def test_loss_and_gradient_stay_finite(name: str, logit: float, label: int) -> None:
    logits = torch.tensor([[logit] * 6], requires_grad=True)
    loss = LOSSES[name](logits, labelled(*[label] * 6))
    loss.backward()
    assert torch.isfinite(loss)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
