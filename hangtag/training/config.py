"""The whole configuration of a training run: one dataclass, stored as config.json, its field
texts shown by `hangtag train --help`. Imports no torch."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, Literal

from hangtag.errors import ConfigError, ModelError

# The backbone that comes with hangtag; docs/hangtag-base.md is its model card.
OWN_BACKBONE: Final = "hangtag-base"

Pooling = Literal["last", "all"]
Stride = Literal[8, 16, 32]
Precision = Literal["fp32", "bf16", "fp16"]
Loss = Literal["bce", "weighted-bce", "asl", "hill", "splc", "selective"]


@dataclass(frozen=True)
class TrainConfig:
    """How a model is trained."""

    backbone: str = OWN_BACKBONE
    """The network that turns a design into features: hangtag-base, which comes with hangtag and is
    pretrained on graphic designs, or any timm model, randomly initialised unless `weights` is
    given."""

    weights: str | None = None
    """Weights for the backbone in place of its own: hub (timm's, downloaded), or the path of a
    .safetensors or .pth file."""

    freeze: bool = False
    """Train only the tag head, in seconds, on features that the backbone computes once; a timm
    model needs `weights`, or a model to start from."""

    pooling: Pooling | None = None
    """What the tag head sees of the backbone: last, the last stage as the backbone pools it, or
    all, the mean and the maximum of all stages. By default all when frozen, else last, or what the
    model to start from has."""

    output_stride: Stride | None = None
    """Pixels of the input to one cell of the backbone's last feature map. With the same weights,
    16 instead of 32 gives the last stage four times as many cells for half as much time again, and
    8 sixteen times as many; some timm models support 32 only. By default 16 for a head alone on
    hangtag-base, else 32, or what the model to start from has."""

    input_size: int | None = None
    """Side of the network's square input in pixels. By default 96, or 64 for a randomly
    initialised backbone, which sees more designs instead."""

    epochs: int | None = None
    """Passes over the training designs. By default by their number: 10 to 50, frozen 10 to 100."""

    minutes: float | None = None
    """Choose the number of epochs to fit this time, such as 10, 90m or 2h, by the measured speed.
    Ignored when frozen: a head takes seconds."""

    batch_size: int | None = None
    """Designs per step, over all processes together. By default by the number of training designs:
    16 to 128, frozen 64 to 256."""

    optimizer: Literal["adamw", "adam", "sgd", "nag", "rmsprop"] = "adamw"
    """The optimiser."""

    learning_rate: float | None = None
    """Highest learning rate. By default 0.004, frozen 0.02."""

    weight_decay: float | None = None
    """Weight decay, of all parameters but biases and normalisation layers. By default 0.05 with
    adamw, 0.5 for a randomly initialised backbone and 1 for a head alone that sees all stages;
    0.0001 with the other optimisers, which add it to the gradient."""

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

    flip: Literal["always", "never"] | None = None
    """Mirror designs at random while training. By default all but those whose tags name a side or
    a text (left, right, text, ...)."""

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

    hue: float | None = None
    """Turn the hue by up to this many degrees. By default 8 where the vocabulary names colours,
    else 60."""

    saturation: float = 0.3
    """Change saturation by up to this share."""

    brightness: float = 0.2
    """Change brightness by up to this share."""

    flatten: float = 0.1
    """Probability of an opaque background while training, so that JPEG copies are recognised."""

    erase: float | None = None
    """Probability of clearing a rectangle while training. By default 0.3 for a randomly initialised
    backbone, else 0."""

    precision: Precision | None = None
    """Number format of the forward and backward pass. By default the fastest, measured at the
    start."""

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

    tracker: str | None = None
    """Also report to a tracker that accelerate supports: tensorboard, wandb, mlflow, ..."""

    seed: int = 0
    """Seed of everything random."""

    def __post_init__(self) -> None:
        for name, low, high in _RANGES:
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise ConfigError(f"{name} = {value:g} is out of range: choose {low:g} to {high:g}")
        if self.epochs and self.minutes:
            raise ConfigError("give epochs or minutes, not both: minutes chooses the epochs")


@dataclass(frozen=True)
class ResolvedConfig(TrainConfig):
    """A configuration in which all that depends on the backbone is chosen."""

    pooling: Pooling = "last"
    output_stride: Stride = 32
    input_size: int = 96
    learning_rate: float = 0.004
    weight_decay: float = 0.05
    erase: float = 0.0


def stored(config: TrainConfig) -> dict[str, Any]:
    """Return a configuration as files keep it: JSON values, None as the value that meant auto."""
    values = {field.name: getattr(config, field.name) for field in fields(TrainConfig)}
    values["step_epochs"] = list(config.step_epochs)
    return {name: AUTO.get(name) if value is None else value for name, value in values.items()}


def from_stored(values: Mapping[str, Any]) -> TrainConfig:
    """Return the configuration that a model folder's config.json keeps under `training`.

    Raises ModelError for a model that was imported.
    """
    if "imported" in values:
        raise ModelError(
            "the model was imported, so no settings are known to train others as it was; train one "
            "with `hangtag train` and take that"
        )
    known = {
        field.name: values[field.name] for field in fields(TrainConfig) if field.name in values
    }
    known = {name: automatic(name, value) for name, value in (BEFORE | known).items()}
    known["step_epochs"] = tuple(known["step_epochs"])  # JSON has lists only
    return TrainConfig(**known)


def automatic(name: str, value: Any) -> Any:
    """Return a setting's value as files give it, None where it meant "choose for me"."""
    return None if name in AUTO and value == AUTO[name] else value


# What "choose for me" is in config.json, studies, search spaces and hyperparameters.
AUTO: Final[dict[str, Any]] = {
    "weights": "none", "pooling": "auto", "output_stride": 0, "input_size": 0, "epochs": 0,
    "minutes": 0.0, "batch_size": 0, "learning_rate": 0.0, "weight_decay": -1.0, "flip": "auto",
    "hue": -1.0, "erase": -1.0, "precision": "auto", "tracker": "none",
}  # fmt: skip


# The augmentation settings of a whole network, each at no change.
UNCHANGED: Final[dict[str, Any]] = {
    "flip": "never", "rotate": 0.0, "scale": 0.0, "aspect": 0.0, "shift": 0.0, "shear": 0.0,
    "hue": 0.0, "saturation": 0.0, "brightness": 0.0, "flatten": 0.0, "erase": 0.0,
}  # fmt: skip


# What a setting was in models and runs of before it existed.
BEFORE: Final[dict[str, Any]] = {"pooling": "last", "output_stride": 32}


def is_pretrained(backbone: str, weights: str | None, continues: bool = False) -> bool:
    """Return whether a backbone starts with pretrained weights.

    `continues`: the run starts from a model, whose backbone is trained.
    """
    return continues or backbone == OWN_BACKBONE or weights is not None


def batch_size(config: TrainConfig, designs: int) -> int:
    """Return the designs per step: a small library needs many small steps.

    1,280 designs of the sample, in the same time: macro mAP 0.40 with 64 a step, 0.79 with 16. A
    head alone learns as well with larger ones.
    """
    if config.batch_size:
        return config.batch_size
    if config.freeze:
        return 64 if designs < HEAD_FEW else 256
    return next((size for most, size in _BATCH_SIZES if designs < most), 128)


def resolved(config: TrainConfig, continues: bool = False) -> ResolvedConfig:
    """Return the configuration with all chosen that depends on the backbone.

    The number of epochs depends on the designs too, see `automatic_epochs`. `continues`: see
    `is_pretrained`.
    """
    pretrained = is_pretrained(config.backbone, config.weights, continues)
    # Networks of SageMaker's image classification show no stages.
    stages = config.freeze and not config.backbone.startswith("thin_resnet")
    pooling = config.pooling or ("all" if stages else "last")
    head_on_own = config.freeze and config.backbone == OWN_BACKBONE
    chosen: dict[str, Any] = {
        "output_stride": 16 if head_on_own else 32,
        "input_size": SIDE if pretrained else SIDE_FROM_SCRATCH,
        "weight_decay": _weight_decay(config, pooling, pretrained),
        "erase": 0.0 if pretrained else ERASE,
        "learning_rate": HEAD_RATE if config.freeze else RATE,
    }
    given = {field.name: getattr(config, field.name) for field in fields(TrainConfig)}
    values: dict[str, Any] = {
        name: chosen.get(name) if value is None else value for name, value in given.items()
    }
    return ResolvedConfig(**{**values, "pooling": pooling})


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


# Input sizes in pixels, and how many designs such a run sees: 10 and 12 minutes of one core with
# bf16. A randomly initialised backbone gains more by more designs than by more pixels.
SIDE, SIDE_FROM_SCRATCH = 96, 64
AUTO_DESIGNS, AUTO_DESIGNS_FROM_SCRATCH = 80_000, 240_000
AUTO_EPOCHS = (10, 50)
# Weight decay. A randomly initialised backbone overfits in so many epochs with less, and so does a
# head alone on the features of all stages.
DECAY, DECAY_FROM_SCRATCH, DECAY_OF_ALL_STAGES = 0.05, 0.5, 1.0
# Added to the gradient, a mean over all cells, the same decay would outweigh the loss.
DECAY_IN_GRADIENT: Final = 1e-4
# A pretrained backbone gains nothing by it.
ERASE: Final = 0.3
# Learning rates of whole networks and of a head alone.
RATE, HEAD_RATE = 0.004, 0.02
# Steps of a head alone: 800 reach what twice as many do, but for a hundredth.
HEAD_STEPS = 800
HEAD_EPOCHS = (10, 100)
HEAD_FEW = 2_500
_BATCH_SIZES = ((2_500, 16), (15_000, 32), (100_000, 64))
_RANGES: tuple[tuple[str, float, float], ...] = (
    ("input_size", 16, 1024),
    ("epochs", 1, 100_000),
    ("minutes", 0, 1e6),
    ("batch_size", 1, 65536),
    ("learning_rate", 0, 100),
    ("weight_decay", 0, 10),
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
    ("hue", 0, 180),
    ("saturation", 0, 1),
    ("brightness", 0, 1),
    ("flatten", 0, 1),
    ("erase", 0, 1),
    ("early_stopping", 0, 100_000),
    ("checkpoint_minutes", 0, 1e6),
    ("cache_gib", 0, 1e6),
    ("early_stopping_tolerance", 0, 1),
    ("seed", 0, 2**32 - 1),
)
