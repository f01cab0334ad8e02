"""What a configuration leaves to hangtag, chosen by the backbone and the number of designs.

Imports no torch.
"""

import math
import os
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from hangtag.console import note
from hangtag.errors import ConfigError
from hangtag.index.own import SIDE_OF_OWN as SIDE_OF_OWN
from hangtag.training.config import OWN_BACKBONE, UNCHANGED, Head, Pooling, Stride, TrainConfig

# Input sizes in pixels, and how many designs a run sees: 10 and 12 minutes of one core with bf16. A
# randomly initialised backbone gains more from more designs than from more pixels.
SIDE, SIDE_FROM_SCRATCH, SIDE_OF_OWN_TRAINED = 96, 64, 128
AUTO_DESIGNS, AUTO_DESIGNS_FROM_SCRATCH = 80_000, 240_000
AUTO_EPOCHS = (10, 50)
# Weight decay. With less, a randomly initialised backbone overfits in that many epochs, and so does
# a head alone on the features of all stages.
DECAY, DECAY_FROM_SCRATCH, DECAY_OF_ALL_STAGES = 0.05, 0.5, 1.0
# Pixels of the input per cell of the last feature map of hangtag-base, as its graph is made.
CELL: Final = 32
# Optimisers other than adamw add the decay to the gradient, where a larger one would outweigh the
# loss, a mean over all cells.
DECAY_IN_GRADIENT: Final = 1e-4
# Only for a randomly initialised backbone: a pretrained one does not gain from it.
ERASE: Final = 0.3
# Learning rates of whole networks and of a head alone.
RATE, HEAD_RATE = 0.004, 0.02
# hangtag-base forgets what it knows of the world at higher ones.
RATE_OF_OWN: Final = 0.0005
# Steps of a head alone: twice as many gain less than 0.01 of macro mAP.
HEAD_STEPS = 800
HEAD_EPOCHS = (10, 100)
HEAD_FEW = 2_500
_BATCH_SIZES = ((2_500, 16), (15_000, 32), (100_000, 64))


@dataclass(frozen=True)
class ResolvedConfig(TrainConfig):
    """A configuration in which all that depends on the backbone is chosen."""

    pooling: Pooling = "last"
    output_stride: Stride = 32
    input_size: int = 96
    head: Head = "linear"
    freeze: bool = False
    learning_rate: float = 0.004
    weight_decay: float = 0.05
    erase: float = 0.0


def is_pretrained(backbone: str, weights: str | None, continues: bool = False) -> bool:
    """Return whether a backbone starts with pretrained weights.

    `continues`: the run starts from a model, whose backbone is trained.
    """
    return continues or backbone == OWN_BACKBONE or weights is not None


def batch_size(config: TrainConfig, designs: int) -> int:
    """Return the designs per step: a small library needs many small steps.

    1,280 designs of the sample, in the same time: macro mAP 0.40 with 64 per step, 0.79 with 16. A
    head alone does as well with larger batches.
    """
    if config.batch_size:
        return config.batch_size
    if config.freeze:
        return 64 if designs < HEAD_FEW else 256
    return next((size for most, size in _BATCH_SIZES if designs < most), 128)


def resolved(config: TrainConfig, continues: bool = False) -> ResolvedConfig:
    """Return the configuration with every setting chosen that depends on the backbone.

    The number of epochs also depends on the designs, see `automatic_epochs`. `continues`: see
    `is_pretrained`.
    """
    pretrained = is_pretrained(config.backbone, config.weights, continues)
    own = config.backbone == OWN_BACKBONE
    freeze = _freezes(config)
    config = replace(config, freeze=freeze)
    # The thin networks of SageMaker's image classification do not expose their stages.
    stages = freeze and not config.backbone.startswith("thin_resnet")
    pooling = config.pooling or ("all" if stages else "last")
    chosen: dict[str, Any] = {
        "head": "kernel" if freeze else "linear",
        "output_stride": 32,
        "input_size": _input_size(own, freeze, pretrained),
        "weight_decay": _weight_decay(config, pooling, pretrained),
        "erase": 0.0 if pretrained else ERASE,
        "learning_rate": HEAD_RATE if freeze else RATE_OF_OWN if own else RATE,
    }
    given = {field.name: getattr(config, field.name) for field in fields(TrainConfig)}
    values: dict[str, Any] = {
        name: chosen.get(name) if value is None else value for name, value in given.items()
    }
    return ResolvedConfig(**{**values, "pooling": pooling})


def _freezes(config: TrainConfig) -> bool:
    """Return whether a run trains the head alone: where nothing asks for a whole network."""
    if config.freeze is not None:
        return config.freeze
    return config.backbone == OWN_BACKBONE and not (config.epochs or config.minutes)


def _input_size(own: bool, freeze: bool, pretrained: bool) -> int:
    if own:
        # A head alone: macro mAP 0.643, 0.498, 0.477 (openclipart, emoji, icons) at 160 px, 0.632,
        # 0.494, 0.468 at 128 px, no more at 192 px. A whole network is trained at half the cost.
        return SIDE_OF_OWN if freeze else SIDE_OF_OWN_TRAINED
    return SIDE if pretrained else SIDE_FROM_SCRATCH


def _weight_decay(config: TrainConfig, pooling: Pooling, pretrained: bool) -> float:
    if config.optimizer != "adamw":
        return DECAY_IN_GRADIENT
    if config.freeze:
        return DECAY_OF_ALL_STAGES if pooling == "all" else DECAY
    return DECAY if pretrained else DECAY_FROM_SCRATCH


def automatic_epochs(config: TrainConfig, designs: int, continues: bool = False) -> int:
    """Return the number of epochs over so many designs where none is given."""
    if config.freeze:
        per_epoch = max(1, designs // batch_size(config, designs))
        return min(max(math.ceil(HEAD_STEPS / per_epoch), HEAD_EPOCHS[0]), HEAD_EPOCHS[1])
    pretrained = is_pretrained(config.backbone, config.weights, continues)
    seen = AUTO_DESIGNS if pretrained else AUTO_DESIGNS_FROM_SCRATCH
    return min(max(math.ceil(seen / designs), AUTO_EPOCHS[0]), AUTO_EPOCHS[1])


def is_own(config: ResolvedConfig) -> bool:
    """Return whether a run's features are those of the ONNX graph that hangtag comes with."""
    return (
        config.backbone == OWN_BACKBONE
        and config.weights is None
        and config.pooling == "all"
        and config.output_stride == CELL
        and config.input_size % CELL == 0
    )


def check_frozen(config: ResolvedConfig, continues: bool) -> None:
    """Raise ConfigError where a frozen run is impossible; log which settings it ignores."""
    if not is_pretrained(config.backbone, config.weights, continues):
        raise ConfigError(
            f"a frozen backbone must be pretrained: use --backbone {OWN_BACKBONE}, or give "
            "--weights hub or a file, or --start-from MODEL"
        )
    if processes() > 1:
        raise ConfigError("a frozen run has one process: start it without accelerate launch")
    if config.minutes:
        note("minutes is ignored: a tag head alone takes seconds")
    if config.precision not in (None, "fp32"):
        note("precision is ignored: the features of a frozen backbone are computed in fp32")
    usual = resolved(TrainConfig(freeze=True))
    changed = [name for name in UNCHANGED if getattr(config, name) != getattr(usual, name)]
    if changed:
        note(f"ignored: {', '.join(changed)}; a head alone is trained without augmentation")


def processes() -> int:
    """Return how many processes train together, as their launcher says."""
    return int(os.environ.get("WORLD_SIZE", "1"))
