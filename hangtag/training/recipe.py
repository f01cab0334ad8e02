"""A TrainConfig as augmentation, optimiser, learning rate, loss and average of a run."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from timm.optim import create_optimizer_v2
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from torch.optim import Optimizer

from hangtag.dataset.augmentation import Augmentation, has_colour_tags
from hangtag.training import losses
from hangtag.training.config import TrainConfig
from hangtag.training.defaults import ResolvedConfig

_TIMM_NAMES = {
    "adamw": "adamw",
    "adam": "adam",
    "sgd": "momentum",
    "nag": "sgd",
    "rmsprop": "rmsprop",
}


def augmentation(config: ResolvedConfig, names: Sequence[str]) -> Augmentation:
    """Return the augmentation of a run."""
    return Augmentation(
        flip=config.flip != "never",
        rotate=config.rotate,
        scale=config.scale,
        aspect=config.aspect,
        shift=config.shift,
        shear=config.shear,
        hue=hue(config, names),
        saturation=config.saturation,
        brightness=config.brightness,
        flatten=config.flatten,
        erase=config.erase,
    )


def hue(config: TrainConfig, names: Sequence[str]) -> float:
    """Return how far the hue is rotated, in degrees: little where tags name colours."""
    if config.hue is not None:
        return config.hue
    return 8.0 if has_colour_tags(names) else 60.0


def optimizer(network: nn.Module, config: ResolvedConfig) -> Optimizer:
    """Make the optimiser; biases and normalisation layers get no weight decay.

    In timm "sgd" has Nesterov momentum and "momentum" the classical one: nag and sgd here.
    """
    options: dict[str, Any] = {"eps": config.eps}
    if config.optimizer in ("adam", "adamw"):
        # Fused: one pass over each tensor, which saves a tenth of a step of ResNet-18 on a CPU.
        options |= {"betas": (config.momentum, config.beta_2), "fused": True}
    elif config.optimizer == "rmsprop":
        options |= {"alpha": config.beta_2, "momentum": config.momentum}
    else:
        options = {"momentum": config.momentum}
    # Nesterov momentum of 0, SageMaker's default, is plain descent; torch refuses it as Nesterov.
    plain = config.optimizer == "nag" and config.momentum == 0
    made: Optimizer = create_optimizer_v2(
        network,
        opt="momentum" if plain else _TIMM_NAMES[config.optimizer],
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
        **options,
    )
    return made


def learning_rate(config: ResolvedConfig, step: int, steps: int, per_epoch: int) -> float:
    """Return the learning rate of a step, counted from 0, of `steps` in all."""
    highest, warm_up = config.learning_rate, round(config.warmup * steps)
    if step < warm_up:
        return highest * (step + 1) / warm_up
    if config.schedule == "constant":
        return highest
    if config.schedule == "step":
        passed = sum(step >= epoch * per_epoch for epoch in config.step_epochs)
        return highest * config.step_factor**passed
    share = (step - warm_up) / max(1, steps - warm_up)
    return highest * 0.5 * (1 + math.cos(math.pi * share))


def loss(config: TrainConfig, frequencies: Tensor) -> Callable[[Tensor, Tensor, int], Tensor]:
    """Return the loss of float logits (n, T) against int8 labels (n, T) in an epoch, from 0.

    `frequencies`: (T,), share of yes among the training designs. See `losses`.
    """
    if config.loss == "splc":
        return losses.splc
    if config.loss == "weighted-bce":
        found: Callable[..., Tensor] = partial(losses.weighted_bce, frequencies=frequencies)
    else:
        found = {
            "asl": losses.asymmetric,
            "bce": losses.bce,
            "hill": losses.hill,
            "selective": losses.selective,
        }[config.loss]
    return lambda logits, labels, epoch: found(logits, labels)


def average(config: TrainConfig, network: nn.Module) -> ModelEmaV3 | None:
    """Return a moving average of the network's weights, or None where it is switched off.

    It averages over all steps until there are as many as `average_decay` implies; with timm's
    default warm-up it would never cover more than 360 steps of 7,000.
    """
    return ModelEmaV3(network, use_warmup=True, warmup_power=1.0) if config.ema else None


def average_decay(config: TrainConfig, steps: int) -> float:
    """Return the decay per step of the moving average in a run of `steps`."""
    return 1 - 1 / (1 + config.ema * steps)
