"""Parts decorrelated by constants, and one part of tags that a linear model sees in them."""

import numpy as np
import torch

from hangtag.index.backbone import own_constants
from hangtag.training.learned import SHOWN, LearnedParts

WIDTHS = (3, 2)


def constants(tags: int = 4) -> dict[str, np.ndarray]:
    return {
        "mean": np.arange(5, dtype=np.float32),
        "map0": np.diag([2.0, 1.0, 0.5]).astype(np.float32),
        "map1": np.array([[0, 1], [1, 0]], np.float32),
        "weight": np.random.default_rng(0).normal(size=(5, tags)).astype(np.float32),
        "bias": np.zeros(tags, np.float32),
    }


def test_each_part_is_centred_and_mapped_by_its_own_matrix() -> None:
    learned = LearnedParts(WIDTHS, constants())
    assert learned.widths == (3, 2, 4)
    found = learned(torch.tensor([[1.0, 1, 3, 5, 8]]))
    np.testing.assert_allclose(found[0, :5], [2, 0, 0.5, 4, 2])


def test_the_tags_hang_on_the_directions_of_parts_not_on_their_lengths() -> None:
    learned, centre = LearnedParts(WIDTHS, constants()), torch.arange(5.0)
    design = torch.randn(5, generator=torch.Generator().manual_seed(0))
    longer = design * torch.tensor([3.0, 3, 3, 7, 7])
    first, second, turned = learned(torch.stack([design, longer, -design]) + centre)[:, 5:]
    np.testing.assert_allclose(first, second, atol=1e-4)
    assert (first - turned).abs().max() > 0.1
    np.testing.assert_allclose(first.mean(), 0, atol=1e-5)


def test_many_tags_are_projected() -> None:
    learned = LearnedParts(WIDTHS, constants(tags=SHOWN + 44))
    assert learned(torch.randn(2, 5)).shape == (2, 5 + SHOWN)


def test_a_design_without_a_direction_is_finite() -> None:
    assert torch.isfinite(LearnedParts(WIDTHS, constants())(torch.arange(5.0)[None])).all()


def test_the_constants_are_no_weights() -> None:
    learned = LearnedParts(WIDTHS, constants())
    assert not learned.state_dict()
    assert not list(learned.parameters())


def test_hangtag_base_brings_constants_for_each_of_its_parts() -> None:
    found = own_constants()
    maps = [name for name in found if name.startswith("map")]
    assert sorted(found) == sorted(["mean", "weight", "bias", *maps])
    widths = [len(found[f"map{number}"]) for number in range(len(maps))]
    learned = LearnedParts(widths, found)
    assert len(found["mean"]) == len(found["weight"]) == sum(widths)
    for number in range(len(maps)):
        matrix = found[f"map{number}"]
        assert np.isfinite(matrix).all()
        assert np.linalg.matrix_rank(matrix.astype(np.float64)) > 0.9 * len(matrix)
    assert learned.widths[-1] == SHOWN
