import pytest
import torch
from torch import nn

from hangtag.errors import ConfigError
from hangtag.training import recipe
from hangtag.training.config import TrainConfig
from hangtag.training.defaults import automatic_epochs, resolved

NOTHING = TrainConfig(backbone="resnet18")


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
    ("config", "continues", "side", "decay", "erase", "epochs"),
    [
        (TrainConfig(freeze=False), False, 128, 0.05, 0, [50, 10, 10]),
        (NOTHING, False, 64, 0.5, 0.3, [50, 24, 10]),
        (TrainConfig(backbone="resnet18", optimizer="adam"), False, 64, 1e-4, 0.3, [50, 24, 10]),
        (NOTHING, True, 96, 0.05, 0, [50, 10, 10]),
        (TrainConfig(backbone="resnet18", weights="hub"), False, 96, 0.05, 0, [50, 10, 10]),
        (TrainConfig(), False, 160, 1.0, 0, [54, 21, 10]),
        (TrainConfig(freeze=True, pooling="last"), False, 160, 0.05, 0, [54, 21, 10]),
        (TrainConfig(freeze=True, optimizer="sgd"), False, 160, 1e-4, 0, [54, 21, 10]),
        (
            TrainConfig(freeze=False, input_size=40, weight_decay=0, erase=0.1),
            False,
            40,
            0,
            0.1,
            [50, 10, 10],
        ),
    ],
)
def test_size_decay_erasing_and_passes_follow_from_the_designs_and_what_the_backbone_knows(
    config: TrainConfig, continues: bool, side: int, decay: float, erase: float, epochs: list[int]
) -> None:
    chosen = resolved(config, continues)
    assert (chosen.input_size, chosen.weight_decay, chosen.erase) == (side, decay, erase)
    assert [automatic_epochs(chosen, n, continues) for n in (1_000, 10_000, 500_000)] == epochs


def test_a_head_alone_sees_all_stages_of_a_backbone_that_shows_them() -> None:
    seen = {
        name: resolved(TrainConfig(backbone=name, weights="w.pth", freeze=True)).pooling
        for name in ("resnet18", "thin_resnet20")
    }
    assert seen == {"resnet18": "all", "thin_resnet20": "last"}
    assert resolved(TrainConfig(freeze=False)).pooling == "last"


def test_the_head_alone_is_trained_unless_something_asks_for_a_whole_network() -> None:
    chosen = [
        (resolved(config).freeze, resolved(config).head)
        for config in (
            TrainConfig(),
            TrainConfig(freeze=True, epochs=3, head="linear"),
            TrainConfig(minutes=10),
            TrainConfig(epochs=3),
            TrainConfig(freeze=False),
            TrainConfig(backbone="resnet18", weights="w.pth"),
            NOTHING,
        )
    ]
    whole = (False, "linear")
    assert chosen == [(True, "kernel"), (True, "linear"), whole, whole, whole, whole, whole]


def test_an_input_of_a_few_pixels_is_refused() -> None:
    with pytest.raises(ConfigError, match="input_size = 8 is out of range: choose 16 to 1024"):
        TrainConfig(input_size=8)
