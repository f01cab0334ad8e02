"""The hyperparameters of SageMaker's image classification, as a TrainConfig.

    hangtag train DATASET MODEL --hyperparameters hyperparameters.json

All values are strings, as SageMaker passes them to a container. Source: the SageMaker
developer guide, "Image Classification Hyperparameters".
"""

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import TypeAdapter, ValidationError

from hangtag.errors import ConfigError
from hangtag.storage.files import read_object
from hangtag.training.config import UNCHANGED, TrainConfig, automatic

_DEEP = (18, 34, 50, 101, 152, 200)
_THIN = (20, 32, 44, 56, 110)
_PRECISIONS: Final[dict[str, Literal["fp32", "fp16"]]] = {"float32": "fp32", "float16": "fp16"}
# What each augmentation type adds to the one before it (the guide's table). A crop does nothing
# here: it cuts images that are larger than the input, and designs are fitted whole.
_CROP: Final[dict[str, Any]] = {"flip": "always"}
# The guide's limits are 36, 50 and 50 for hue, saturation and lightness. MXNet applies them in
# 8-bit HLS, with 180 steps of hue and 255 of the others.
_COLOUR: Final[dict[str, Any]] = {"hue": 72.0, "saturation": 0.2, "brightness": 0.2}
_TRANSFORM: Final[dict[str, Any]] = {"rotate": 10.0, "shear": 0.1, "aspect": 0.25}
_AUGMENTATIONS: Final[dict[str, dict[str, Any]]] = {
    "crop": _CROP,
    "crop_color": _CROP | _COLOUR,
    "crop_color_transform": _CROP | _COLOUR | _TRANSFORM,
}


def read_hyperparameters(path: Path) -> dict[str, str]:
    """Read a JSON object of strings or numbers. Raises ConfigError."""
    values = read_object(path, ConfigError)
    odd = [name for name, value in values.items() if isinstance(value, (dict, list))]
    if odd:
        raise ConfigError(f"{path}: {odd[0]} must be a string or a number")
    return {name: str(value) for name, value in values.items() if value is not None}


def config_of(
    values: Mapping[str, str], *, tags: int, designs: int
) -> tuple[TrainConfig, list[str]]:
    """Return the configuration of a job's hyperparameters, and notes on those without effect.

    They are hangtag's own settings, or those of SageMaker's image classification if any of them
    exists only there. `tags` and `designs` as in `from_hyperparameters`. Raises ConfigError.
    """
    own = {field.name for field in fields(TrainConfig)}
    foreign = [name for name in values if name not in own]
    if foreign and set(foreign) & set(KNOWN):
        return from_hyperparameters(values, tags=tags, designs=designs)
    if foreign:
        raise ConfigError(f"unknown hyperparameters: {', '.join(foreign)}")
    read: dict[str, Any] = {name: _given(name, text) for name, text in values.items()}
    if "step_epochs" in read:
        read["step_epochs"] = read["step_epochs"].split(",")
    try:
        return TypeAdapter(TrainConfig).validate_python(read), []
    except ValidationError as cause:
        first = cause.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else "hyperparameters"
        raise ConfigError(f"{name} = {values.get(name)!r}: {first['msg']}") from cause


def _given(name: str, text: str) -> str | None:
    """Return a setting as given, None where it means automatic."""
    try:
        value: float | str = float(text)
    except ValueError:
        value = text.strip()
    return None if automatic(name, value) is None else text


def from_hyperparameters(
    values: Mapping[str, str], *, tags: int, designs: int
) -> tuple[TrainConfig, list[str]]:
    """Return the configuration of the built-in algorithm's hyperparameters, and notes on those
    without effect.

    `tags` and `designs` are counted in the dataset and override `num_classes` and
    `num_training_samples`; a note reports a difference. Raises ConfigError for unknown names (it
    lists all of them) and for values out of range.
    """
    unknown = sorted(set(values) - set(KNOWN))
    if unknown:
        raise ConfigError(
            f"unknown hyperparameters: {', '.join(unknown)}; known are {', '.join(sorted(KNOWN))}"
        )
    read = {name: _parsed(name, values[name]) for name in values}
    notes = _notes(read, tags, designs)
    return _config(read), notes


def _config(read: dict[str, Any]) -> TrainConfig:
    shape = read.get("image_shape", (3, 224, 224))
    layers = read.get("num_layers", 152)
    name = read.get("optimizer", "sgd")
    stops = read.get("early_stopping", False)
    config = TrainConfig(
        backbone=f"resnet{layers}" if layers in _DEEP else f"thin_resnet{layers}",
        weights="hub" if read.get("use_pretrained_model") else None,
        input_size=shape[1],
        epochs=read.get("epochs", 30),
        batch_size=read.get("mini_batch_size", 32),
        optimizer=name,
        learning_rate=read.get("learning_rate", 0.1),
        weight_decay=read.get("weight_decay", 1e-4),
        momentum=read.get("beta_1", 0.9) if name == "adam" else read.get("momentum", 0.0),
        beta_2=read.get("gamma", 0.9) if name == "rmsprop" else read.get("beta_2", 0.999),
        eps=read.get("eps", 1e-8),
        schedule="step",
        warmup=0.0,
        step_epochs=read.get("lr_scheduler_step", (10, 20)),
        step_factor=read.get("lr_scheduler_factor", 0.1),
        loss="weighted-bce" if read.get("use_weighted_loss") else "bce",
        ema=0.0,
        early_stopping=read.get("early_stopping_patience", 5) if stops else 0,
        early_stopping_min_epochs=read.get("early_stopping_min_epochs", 10),
        early_stopping_tolerance=read.get("early_stopping_tolerance", 0.0),
        precision=_PRECISIONS[read.get("precision_dtype", "float32")],
    )
    changes = _AUGMENTATIONS.get(read.get("augmentation_type", ""), {})
    return replace(config, **(UNCHANGED | changes))


def _notes(read: dict[str, Any], tags: int, designs: int) -> list[str]:
    notes = []
    for name, counted in (("num_classes", tags), ("num_training_samples", designs)):
        if name in read and read[name] != counted:
            notes.append(f"{name} = {read[name]}, but the dataset has {counted}, which is used")
    shape = read.get("image_shape", (3, 224, 224))
    if shape[0] != 3 or shape[1] != shape[2]:
        notes.append(f"image_shape: designs are fitted whole into {shape[1]} x {shape[1]} pixels")
    if read.get("multi_label") is False:
        notes.append("multi_label = 0: hangtag always learns any number of tags per design")
    notes += [f"{name} has no effect: {why}" for name, why in _UNUSED.items() if name in read]
    return notes


_UNUSED: Final = {
    "resize": "designs are resized when they are packed",
    "top_k": "`hangtag evaluate` always reports precision at 1, 3 and 5",
    "kv_store": "gradients are averaged by torch.distributed",
    "checkpoint_frequency": "the run is saved after every epoch and every few minutes",
}


def _integer(low: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        value = int(text)
        if value < low:
            raise ValueError(f"must be {low} or more")
        return value

    return parse


def _flag(text: str) -> bool:
    if text.lower() in ("0", "false"):
        return False
    if text.lower() in ("1", "true"):
        return True
    raise ValueError("must be 0 or 1")


def _choice(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return text

    return parse


def _layers(text: str) -> int:
    if int(text) not in _DEEP + _THIN:
        raise ValueError(f"must be one of {', '.join(map(str, _DEEP + _THIN))}")
    return int(text)


def _shape(text: str) -> tuple[int, int, int]:
    parts = [int(part) for part in text.split(",")]
    if len(parts) != 3:
        raise ValueError("must be three numbers such as 3,224,224")
    return parts[0], parts[1], parts[2]


def _steps(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(",") if part.strip())


KNOWN: Final[dict[str, Callable[[str], Any]]] = {
    "num_classes": _integer(1),
    "num_training_samples": _integer(1),
    "num_layers": _layers,
    "use_pretrained_model": _flag,
    "image_shape": _shape,
    "resize": _integer(1),
    "epochs": _integer(1),
    "learning_rate": float,
    "lr_scheduler_factor": float,
    "lr_scheduler_step": _steps,
    "optimizer": _choice("sgd", "adam", "rmsprop", "nag"),
    "momentum": float,
    "weight_decay": float,
    "beta_1": float,
    "beta_2": float,
    "eps": float,
    "gamma": float,
    "mini_batch_size": _integer(1),
    "augmentation_type": _choice(*_AUGMENTATIONS),
    "top_k": _integer(1),
    "multi_label": _flag,
    "use_weighted_loss": _flag,
    "precision_dtype": _choice(*_PRECISIONS),
    "checkpoint_frequency": _integer(1),
    "early_stopping": _flag,
    "early_stopping_min_epochs": _integer(0),
    "early_stopping_patience": _integer(1),
    "early_stopping_tolerance": float,
    "kv_store": str,
}


def _parsed(name: str, text: str) -> Any:
    try:
        return KNOWN[name](text.strip())
    except ValueError as cause:
        reason = str(cause)
        why = reason if reason.startswith("must") else "is not a number of the right kind"
        raise ConfigError(f"hyperparameter {name} = {text!r} {why}") from cause
