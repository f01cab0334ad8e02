"""The whole configuration of a training run: one dataclass, stored as config.json, its field
texts shown by `hangtag train --help`. Imports no torch."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final, Literal

from hangtag.errors import ConfigError, ModelError

# The backbone that comes with hangtag; docs/hangtag-base.md is its model card.
OWN_BACKBONE: Final = "hangtag-base"

Pooling = Literal["auto", "last", "all"]
Loss = Literal["bce", "weighted-bce", "asl", "hill", "splc", "selective"]
Objective = Literal["validation:macro_map", "validation:micro_map", "validation:accuracy"]


@dataclass(frozen=True)
class TrainConfig:
    """How a model is trained."""

    backbone: str = OWN_BACKBONE
    """The network that looks at designs: hangtag-base, which comes with hangtag and has seen
    graphic designs before, or any timm model, which knows nothing without `weights`."""

    weights: str = "none"
    """Weights for the backbone to begin with in place of its own: hub (timm's, downloaded), or the
    path of a .safetensors or .pth file."""

    freeze: bool = False
    """Train only the tag head, in seconds, on features that the backbone computes once; a timm
    model needs `weights`, or a model to start from."""

    pooling: Pooling = "auto"
    """What of the backbone the tag head sees: the last stage as the backbone pools it, or the mean
    and the maximum of all stages; auto takes all when frozen, else the last, or what a model to
    start from has."""

    output_stride: Literal[0, 8, 16, 32] = 0
    """Pixels of the square to one place of the backbone's last feature map. 16 instead of 32 shows
    the last stage four times as many places, with the same weights, in half as much time again, and
    8 sixteen times as many; some networks of timm cannot. 0 chooses: 16 for a head alone on
    hangtag-base, else 32, or what a model to start from has."""

    input_size: int = 0
    """Side in pixels of the square that the network sees; 0 chooses: 96, or 64 where the backbone
    knows nothing and sees more designs instead."""

    epochs: int = 0
    """Passes over the training designs; 0 chooses by their number (10 to 50; frozen 10 to 100)."""

    minutes: float = 0.0
    """Fit the number of epochs to this time, by the measured speed; 0 does not. Not heeded when
    frozen: a head takes seconds."""

    batch_size: int = 0
    """Designs per step, over all processes together; 0 chooses by their number (16 to 128; frozen
    64 to 256)."""

    optimizer: Literal["adamw", "adam", "sgd", "nag", "rmsprop"] = "adamw"
    """The optimiser."""

    learning_rate: float = 0.0
    """Highest learning rate; 0 chooses: 0.004, frozen 0.02."""

    weight_decay: float = -1.0
    """Weight decay; biases and normalisation layers are spared. -1 chooses: with adamw 0.05, 0.5
    where the backbone knows nothing and 1 for a head alone that sees all stages; 0.0001 with the
    other optimisers, which add it to the gradient."""

    momentum: float = 0.9
    """Momentum of sgd, nag and rmsprop; first beta of adam and adamw."""

    beta_2: float = 0.999
    """Second beta of adam and adamw; smoothing of rmsprop."""

    eps: float = 1e-8
    """Numerical floor of adam, adamw and rmsprop."""

    schedule: Literal["cosine", "step", "constant"] = "cosine"
    """Learning rate over time, after the warm-up."""

    warmup: float = 0.05
    """Share of all steps over which the learning rate rises from zero."""

    step_epochs: tuple[int, ...] = (10, 20)
    """Epochs after which schedule `step` multiplies the learning rate by `step_factor`."""

    step_factor: float = 0.1
    """See `step_epochs`."""

    loss: Loss = "bce"
    """Binary cross-entropy, the same weighted by tag frequency, or one that forgives missing tags:
    asymmetric (arXiv:2009.14119), Hill and SPLC (arXiv:2112.07368), or partial asymmetric that
    ignores each design's likeliest unknown tags (arXiv:2110.10955)."""

    ema: float = 0.05
    """Validate and export a moving average of the weights, over this share of the run's steps; 0
    switches it off."""

    dropout: float = 0.0
    """Dropout before the tag head."""

    flip: Literal["auto", "always", "never"] = "auto"
    """Mirror designs while training; auto spares those whose tags say left, right, text, ..."""

    rotate: float = 12.0
    """Turn by up to this many degrees."""

    scale: float = 0.25
    """Scale by up to this factor more or less."""

    aspect: float = 0.15
    """Stretch by up to this factor."""

    shift: float = 0.08
    """Shift by up to this share of the side."""

    shear: float = 0.05
    """Shear by up to this."""

    hue: float = -1.0
    """Turn the hue by up to this many degrees; -1 chooses 8 where the vocabulary names
    colours, else 60."""

    saturation: float = 0.3
    """Change saturation by up to this share."""

    brightness: float = 0.2
    """Change brightness by up to this share."""

    flatten: float = 0.1
    """Probability of an opaque background while training, so that JPEG copies are recognised."""

    erase: float = -1.0
    """Probability of clearing a rectangle while training; -1 chooses 0.3 where the backbone knows
    nothing, else 0."""

    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Number format of the heavy arithmetic; auto measures at the start."""

    early_stopping: int = 0
    """Stop after this many epochs without a better validation score; 0 never."""

    early_stopping_min_epochs: int = 10
    """Do not stop before this many epochs."""

    early_stopping_tolerance: float = 0.0
    """How much better a score must be to count."""

    checkpoint_minutes: float = 5.0
    """Save the state of the run at least this often; it is also saved after every epoch."""

    cache_gib: float = 8.0
    """Keep decoded designs in memory up to this size, or to half of the free memory where that is
    less; beyond it, decode in every epoch."""

    tracker: str = "none"
    """Also report to a tracker that accelerate knows: tensorboard, wandb, mlflow, ..."""

    seed: int = 0
    """Seed of everything random."""

    def __post_init__(self) -> None:
        for name, low, high in _RANGES:
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigError(f"{name} = {value:g} is out of range: choose {low:g} to {high:g}")
        if 0 < self.input_size < 16:
            raise ConfigError(f"input_size = {self.input_size} is out of range: choose 16 to 1024")
        if self.epochs and self.minutes:
            raise ConfigError("give epochs or minutes, not both: minutes chooses the epochs")


@dataclass(frozen=True)
class TuneConfig:
    """How settings are searched for."""

    trials: int = 30
    """Settings to try, over all processes and calls together; the defaults are the first."""

    hours: float = 0.0
    """Stop after this time, in this call; 0 goes on until all trials are done."""

    parallel: int = 1
    """Trials at a time on this machine; they share its cores."""

    prune: bool = True
    """Stop trials early that fall behind."""

    def __post_init__(self) -> None:
        if self.trials < 1 or self.parallel < 1 or self.hours < 0:
            raise ConfigError("trials and parallel must be 1 or more, hours 0 or more")


def from_stored(values: Mapping[str, Any]) -> TrainConfig:
    """Return the configuration that a model folder's config.json keeps under `training`.

    Raises ModelError for a model that was imported.
    """
    if "imported" in values:
        raise ModelError(
            "the model was imported, so no settings are known to train others as it was; train one "
            "with `hangtag train` and take that"
        )
    known: dict[str, Any] = {
        field.name: values[field.name] for field in fields(TrainConfig) if field.name in values
    }
    known = BEFORE | known
    known["step_epochs"] = tuple(known["step_epochs"])  # JSON has lists only
    return TrainConfig(**known)


# The settings by which designs are changed while a whole network trains, each at no change.
UNCHANGED: Final[dict[str, Any]] = {
    "flip": "never", "rotate": 0.0, "scale": 0.0, "aspect": 0.0, "shift": 0.0, "shear": 0.0,
    "hue": 0.0, "saturation": 0.0, "brightness": 0.0, "flatten": 0.0, "erase": 0.0,
}  # fmt: skip


# What a setting was in models and runs that do not name it yet.
BEFORE: Final[dict[str, Any]] = {"pooling": "last", "output_stride": 32}


def has_learned(backbone: str, weights: str, continues: bool = False) -> bool:
    """Tell whether a backbone begins with weights that have seen something before.

    `continues`: the run starts from a model, so that any backbone has.
    """
    return continues or backbone == OWN_BACKBONE or weights != "none"


def batch_size(config: TrainConfig, designs: int) -> int:
    """Return the designs per step: a small library needs many small steps to get anywhere.

    1,280 designs of the sample, in the same time: macro mAP 0.40 with 64 a step, 0.79 with 16. A
    head alone takes larger steps in its stride.
    """
    if config.batch_size:
        return config.batch_size
    if config.freeze:
        return 64 if designs < HEAD_FEW else 256
    return next((size for most, size in _BATCH_SIZES if designs < most), 128)


def settled(config: TrainConfig, continues: bool = False) -> TrainConfig:
    """Return the configuration with all chosen that depends on what the backbone knows.

    The number of epochs depends on the designs too, see `automatic_epochs`. `continues`: see
    `has_learned`.
    """
    learned = has_learned(config.backbone, config.weights, continues)
    pooling = config.pooling
    if pooling == "auto":
        # Networks of the seed's algorithm show no stages.
        stages = config.freeze and not config.backbone.startswith("thin_resnet")
        pooling = "all" if stages else "last"
    head_on_own = config.freeze and config.backbone == OWN_BACKBONE
    if config.optimizer != "adamw":
        decay = DECAY_IN_GRADIENT
    elif config.freeze:
        decay = DECAY_OF_ALL_STAGES if pooling == "all" else DECAY
    else:
        decay = DECAY if learned else DECAY_FROM_NOTHING
    return replace(
        config,
        pooling=pooling,
        output_stride=config.output_stride or (16 if head_on_own else 32),
        input_size=config.input_size or (SIDE if learned else SIDE_FROM_NOTHING),
        weight_decay=decay if config.weight_decay < 0 else config.weight_decay,
        erase=(0.0 if learned else ERASE) if config.erase < 0 else config.erase,
        learning_rate=config.learning_rate or (HEAD_RATE if config.freeze else RATE),
    )


def automatic_epochs(config: TrainConfig, designs: int, continues: bool = False) -> int:
    """Return the passes over so many designs when they are left to us."""
    if config.freeze:
        per_epoch = max(1, designs // batch_size(config, designs))
        return min(max(math.ceil(HEAD_STEPS / per_epoch), HEAD_EPOCHS[0]), HEAD_EPOCHS[1])
    learned = has_learned(config.backbone, config.weights, continues)
    seen = AUTO_DESIGNS if learned else AUTO_DESIGNS_FROM_NOTHING
    return min(max(math.ceil(seen / designs), AUTO_EPOCHS[0]), AUTO_EPOCHS[1])


# Sides in pixels of the square that a network sees, and how many designs such a run sees: 10 and 12
# minutes of one core that has bf16. Who knows nothing gains more by more designs than by pixels.
SIDE, SIDE_FROM_NOTHING = 96, 64
AUTO_DESIGNS, AUTO_DESIGNS_FROM_NOTHING = 80_000, 240_000
AUTO_EPOCHS = (10, 50)
# Weight decay. Who knows nothing learns a library by heart in so many passes, decayed less, and so
# does a head alone on the features of all stages.
DECAY, DECAY_FROM_NOTHING, DECAY_OF_ALL_STAGES = 0.05, 0.5, 1.0
# Added to the gradient, a mean over all cells, the same decay would outweigh the designs.
DECAY_IN_GRADIENT: Final = 1e-4
# What a library is not known by yet is learned from its parts too; who has learned gains nothing.
ERASE: Final = 0.3
# Learning rates of whole networks and of a head alone.
RATE, HEAD_RATE = 0.004, 0.02
# The steps of a head alone: after 800 it has what twice as many give, but for a hundredth.
HEAD_STEPS = 800
HEAD_EPOCHS = (10, 100)
HEAD_FEW = 2_500
_BATCH_SIZES = ((2_500, 16), (15_000, 32), (100_000, 64))
_RANGES: tuple[tuple[str, float, float], ...] = (
    ("input_size", 0, 1024),
    ("epochs", 0, 100_000),
    ("minutes", 0, 1e6),
    ("batch_size", 0, 65536),
    ("learning_rate", 0, 100),
    ("weight_decay", -1, 10),
    ("momentum", 0, 0.9999),
    ("beta_2", 0, 0.999999),
    ("eps", 0, 1),
    ("warmup", 0, 1),
    ("step_factor", 0, 1),
    ("ema", 0, 1),
    ("dropout", 0, 0.95),
    ("rotate", 0, 180),
    ("scale", 0, 4),
    ("aspect", 0, 4),
    ("shift", 0, 1),
    ("shear", 0, 2),
    ("hue", -1, 180),
    ("saturation", 0, 1),
    ("brightness", 0, 1),
    ("flatten", 0, 1),
    ("erase", -1, 1),
    ("early_stopping", 0, 100_000),
    ("checkpoint_minutes", 0, 1e6),
    ("cache_gib", 0, 1e6),
    ("early_stopping_tolerance", 0, 1),
    ("seed", 0, 2**32 - 1),
)
