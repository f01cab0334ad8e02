"""What a head gets beside a backbone's own features."""

import numpy as np
import pytest
import torch

from hangtag.training.pooled import LEVELS, OUTLINE, PooledParts, SignProjection, random_signs

LAST, MAPS = 600, (16, 24, 40, 200)


def maps_of(designs: int = 3) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    sides = (40, 20, 10, 5)
    return [
        torch.randn(designs, width, side, side, generator=random)
        for width, side in zip(MAPS, sides, strict=True)
    ]


def inputs_of(designs: int = 3) -> torch.Tensor:
    random = torch.Generator().manual_seed(1)
    opaque = torch.randint(0, 256, (designs, 160, 160, 4), dtype=torch.uint8, generator=random)
    return torch.minimum(opaque, opaque[..., 3:])


def parts_of(
    pooled: PooledParts, inputs: torch.Tensor, last: torch.Tensor, maps: list[torch.Tensor]
) -> list[torch.Tensor]:
    return list(pooled(inputs, last, maps).split(pooled.widths, dim=1))


def test_signs_are_the_same_everywhere() -> None:
    signs = random_signs(40, 18)
    assert signs.shape == (40, 18)
    assert set(np.unique(signs)) == {-1, 1}
    assert signs[0, :8].tolist() == [-1, 1, 1, -1, -1, 1, 1, -1]
    assert abs(float(signs.mean())) < 0.1


def test_a_projection_keeps_lengths_and_leaves_what_is_narrow() -> None:
    values = torch.randn(50, 600, generator=torch.Generator().manual_seed(0))
    ratio = SignProjection(600, 448)(values).norm(dim=1) / values.norm(dim=1)
    assert abs(ratio.mean().item() - 1) < 0.05
    narrow = torch.randn(2, 10, 3, 3)
    assert SignProjection(10, 18)(narrow) is narrow


@pytest.mark.parametrize("maps", [MAPS, MAPS[1:], MAPS[2:], MAPS[3:]])
def test_any_number_of_maps_gives_features_of_the_stated_widths(maps: tuple[int, ...]) -> None:
    pooled = PooledParts(LAST, maps)
    chosen = maps_of()[-len(maps) :]
    found = pooled(inputs_of(), torch.randn(3, LAST), chosen)
    assert found.shape == (3, sum(pooled.widths))
    assert torch.isfinite(found).all()


def test_a_mirror_image_moves_the_layout_but_not_the_sums() -> None:
    pooled, last = PooledParts(LAST, MAPS), torch.randn(3, LAST)
    maps = maps_of()
    plain = parts_of(pooled, inputs_of(), last, maps)
    mirrored = parts_of(pooled, inputs_of().flip(2), last, [one.flip(3) for one in maps])
    for part in (1, 2, 3, 4, 5, 6, 7):  # rows, columns with their mirror images, unlike halves
        torch.testing.assert_close(plain[part], mirrored[part], atol=1e-4, rtol=1e-4)
    assert not torch.allclose(plain[8], mirrored[8], atol=0.01)  # quarters


def test_covariances_are_those_of_numpy() -> None:
    pooled = PooledParts(LAST, (8, 12, 10, 20))
    maps = [torch.randn(1, width, 6, 6) for width in (8, 12, 10, 20)]
    part = parts_of(pooled, inputs_of(1), torch.randn(1, LAST), maps)[5]
    expected = np.cov(maps[1][0].flatten(1).numpy(), bias=True)[np.triu_indices(12)]
    expected = (expected - expected.mean()) / expected.std()
    np.testing.assert_allclose(part[0].numpy(), expected, atol=1e-3)


def test_a_transparent_design_has_no_colours_and_no_outline() -> None:
    pooled = PooledParts(LAST, MAPS)
    empty = torch.zeros(1, 160, 160, 4, dtype=torch.uint8)
    outline, colours = parts_of(pooled, empty, torch.randn(1, LAST), maps_of(1))[-2:]
    assert outline.shape == (1, OUTLINE**2 + 1)
    assert outline.abs().max() == 0
    assert colours.shape == (1, LEVELS**3)
    assert colours.max() < 0.01


def test_colours_and_outline_are_those_of_the_design() -> None:
    """A red square on half of a transparent design, and the same drawn half as opaque."""
    design = torch.zeros(2, 160, 160, 4, dtype=torch.uint8)
    design[0, :, :80] = torch.tensor((255, 0, 0, 255))
    design[1, :, :80] = torch.tensor((128, 0, 0, 128))
    found = parts_of(PooledParts(LAST, MAPS), design, torch.randn(2, LAST), maps_of(2))
    outline, colours = (part.numpy() for part in found[-2:])
    shown = outline[:, :64].reshape(2, 8, 8)
    np.testing.assert_allclose(shown[0, :, :4], 1)
    np.testing.assert_allclose(shown[0, :, 4:], 0)
    np.testing.assert_allclose(outline[:, 64], [0.5, 0.25], atol=0.01)
    expected = np.zeros(LEVELS**3)
    expected[100] = 1  # the most red, no green, no blue
    np.testing.assert_allclose(colours, [expected, expected], atol=0.01)
