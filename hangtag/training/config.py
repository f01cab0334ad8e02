"""The whole configuration of a training run: one dataclass, stored as config.json, its field
texts shown by `hangtag train --help`. Imports no torch."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, Literal

from hangtag.errors import ConfigError, ModelError
from hangtag.index.own import OWN_BACKBONE as OWN_BACKBONE

# The network that had this name until November 2026; a model of it continues with its own weights.
FIRST_GENERATION: Final = "resnet10t"

Pooling = Literal["last", "all"]
Stride = Literal[8, 16, 32]
Precision = Literal["fp32", "bf16", "fp16"]
Head = Literal["kernel", "linear"]
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

    freeze: bool | None = None
    """Train only the tag head, in seconds, on features that the backbone computes once; a timm
    model needs `weights`, or a model to start from. By default so on hangtag-base, unless epochs
    or minutes are given."""

    head: Head | None = None
    """The tag head of a frozen backbone: kernel, which compares a design with single training
    designs, or linear. A whole network has a linear one."""

    pooling: Pooling | None = None
    """The features that the tag head gets: last, the last stage as the backbone pools it, or all,
    also those of earlier stages, layout, outline and colours. By default all when frozen, else
    last, or as in the model to start from."""

    output_stride: Stride | None = None
    """Pixels of the input per cell of the backbone's last feature map. With the same weights, 16
    instead of 32 gives the last stage four times as many cells and takes 1.5 times as long, 8
    sixteen times as many; some timm models support only 32. By default 32, or as in the model to
    start from."""

    input_size: int | None = None
    """Side of the network's square input in pixels. By default 160 for a head on
    hangtag-base and 128 for the whole of it, 96 for other pretrained backbones, and 64 for a
    randomly initialised one, which gets more designs instead."""

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
    """Highest learning rate. By default 0.0005 for hangtag-base, 0.004 for other backbones, and
    0.02 for a linear head alone."""

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
    """Binary cross-entropy, the same weighted by tag frequency, or one that tolerates missing tags:
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
    """Rotate by up to this many degrees."""

    scale: float = 0.25
    """Scale by up to this factor more or less."""

    aspect: float = 0.15
    """Stretch by up to this factor."""

    shift: float = 0.08
    """Shift by up to this share of the side."""

    shear: float = 0.05
    """Shear by up to this factor."""

    hue: float | None = None
    """Rotate the hue by up to this many degrees. By default 8 where the vocabulary names colours,
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


def stored(config: TrainConfig) -> dict[str, Any]:
    """Return a configuration as files store it: JSON values, None as the stored value of auto."""
    values = {field.name: getattr(config, field.name) for field in fields(TrainConfig)}
    values["step_epochs"] = list(config.step_epochs)
    return {name: AUTO.get(name) if value is None else value for name, value in values.items()}


def from_stored(values: Mapping[str, Any]) -> TrainConfig:
    """Return the configuration that a model folder's config.json keeps under `training`.

    Raises ModelError for a model that was imported.
    """
    if "imported" in values:
        raise ModelError(
            "the model was imported, so the settings it was trained with are unknown; use one that "
            "`hangtag train` trained"
        )
    known = {
        field.name: values[field.name] for field in fields(TrainConfig) if field.name in values
    }
    if "head" not in known and known.get("backbone") == OWN_BACKBONE:
        known["backbone"] = FIRST_GENERATION
    known = {name: automatic(name, value) for name, value in (BEFORE | known).items()}
    known["step_epochs"] = tuple(known["step_epochs"])  # JSON has lists only
    return TrainConfig(**known)


def automatic(name: str, value: Any) -> Any:
    """Return a setting's value from its stored one: None for the value that means automatic."""
    return None if name in AUTO and value == AUTO[name] else value


# The values that mean automatic in config.json, studies, search spaces and hyperparameters.
AUTO: Final[dict[str, Any]] = {
    "weights": "none", "freeze": "auto", "head": "auto", "pooling": "auto",
    "output_stride": 0, "input_size": 0, "epochs": 0, "minutes": 0.0,
    "batch_size": 0, "learning_rate": 0.0, "weight_decay": -1.0, "flip": "auto",
    "hue": -1.0, "erase": -1.0, "precision": "auto", "tracker": "none",
}  # fmt: skip


# The augmentation settings of a whole network, all switched off.
UNCHANGED: Final[dict[str, Any]] = {
    "flip": "never", "rotate": 0.0, "scale": 0.0, "aspect": 0.0, "shift": 0.0, "shear": 0.0,
    "hue": 0.0, "saturation": 0.0, "brightness": 0.0, "flatten": 0.0, "erase": 0.0,
}  # fmt: skip


# The values of settings in models and runs from before the settings existed.
BEFORE: Final[dict[str, Any]] = {"head": "linear", "pooling": "last", "output_stride": 32}


# The smallest and largest value of each number.
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
