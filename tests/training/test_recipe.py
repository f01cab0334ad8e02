import pytest
import torch
from torch import nn

from hangtag.training import recipe
from hangtag.training.config import TrainConfig, automatic_epochs


def test_the_average_reaches_back_as_far_as_asked() -> None:
    config, line, steps = TrainConfig(ema=0.3), nn.Linear(1, 1), 400
    average = recipe.average(config, line)
    assert average is not None
    average.decay = recipe.average_decay(config, steps)
    for step in range(steps):
        nn.init.constant_(line.weight, step)
        average.update(line, step=step)
    behind = steps - 1 - float(average.module.weight.detach())
    # An average over 120 steps of what grows by one a step is 120 behind, less what the start cuts
    # off: exp(-400 / 120) of it.
    assert behind == pytest.approx(120 * (1 - torch.tensor(-400 / 120).exp().item()), rel=0.05)
    assert recipe.average(TrainConfig(ema=0), line) is None


@pytest.mark.parametrize(
    ("config", "continues", "epochs"),
    [
        (TrainConfig(), False, [50, 16, 10]),
        (TrainConfig(backbone="resnet18"), False, [50, 24, 10]),
        (TrainConfig(backbone="resnet18"), True, [50, 16, 10]),
        (TrainConfig(backbone="resnet18", weights="hub"), False, [50, 16, 10]),
        (TrainConfig(freeze=True), False, [54, 21, 10]),
    ],
)
def test_passes_follow_from_the_designs_and_what_the_backbone_knows(
    config: TrainConfig, continues: bool, epochs: list[int]
) -> None:
    assert [automatic_epochs(config, n, continues) for n in (1_000, 10_000, 500_000)] == epochs
