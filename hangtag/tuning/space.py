"""The search space of a study: which settings are tried, and between which limits. No torch."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from hangtag.errors import ConfigError
from hangtag.storage.files import read_text
from hangtag.training.config import AUTO, TrainConfig, automatic
from hangtag.tuning.config import Objective
from hangtag.tuning.space_files import SAGEMAKER_NAMES, Ranges, read_contents, setting_type

# Settings without effect on the result, and `minutes`, as trials are compared by epochs.
_FIXED: Final = ("cache_gib", "checkpoint_minutes", "tracker", "minutes", "freeze")

DEFAULT: Final[Ranges] = {
    "learning_rate": FloatDistribution(3e-4, 1e-2, log=True),
    "weight_decay": FloatDistribution(1e-3, 1.0, log=True),
    "batch_size": IntDistribution(16, 128, log=True),
    "loss": CategoricalDistribution(("asl", "bce")),
    "dropout": FloatDistribution(0.0, 0.5),
    "ema": FloatDistribution(0.01, 0.2, log=True),
    "rotate": FloatDistribution(0.0, 30.0),
    "scale": FloatDistribution(0.0, 0.5),
    "hue": FloatDistribution(0.0, 60.0),
    "erase": FloatDistribution(0.0, 0.5),
}
# A head on fixed features has no augmentation, and needs other ranges.
DEFAULT_FROZEN: Final[Ranges] = {
    "learning_rate": FloatDistribution(1e-4, 1e-1, log=True),
    "weight_decay": FloatDistribution(1e-2, 3.0, log=True),
    "batch_size": IntDistribution(32, 1024, log=True),
    "loss": CategoricalDistribution(("asl", "bce")),
    "dropout": FloatDistribution(0.0, 0.7),
    "ema": FloatDistribution(0.01, 0.2, log=True),
}


@dataclass(frozen=True)
class Space:
    """Names, hangtag's or SageMaker's, and the values to try for each."""

    ranges: Ranges
    objective: Objective | None = None
    """What the file maximises; None if it does not declare it."""

    @classmethod
    def read(cls, path: Path) -> "Space":
        """Read a .json, .py or .ipynb file. Raises ConfigError."""
        text = read_text(path, ConfigError)
        try:
            space = cls(*read_contents(path, text))
            _check(space)
        except (ValueError, KeyError, TypeError, AttributeError, SyntaxError, ConfigError) as cause:
            reason = f"has no {cause}" if isinstance(cause, KeyError) else str(cause)
            raise ConfigError(f"search space {path}: {reason}") from cause
        return space

    @classmethod
    def default(cls, config: TrainConfig) -> "Space":
        """Return the built-in space for such a run."""
        ranges = dict(DEFAULT_FROZEN if config.freeze else DEFAULT)
        if config.optimizer != "adamw":  # the others add it to the gradient
            ranges["weight_decay"] = FloatDistribution(1e-6, 1e-2, log=True)
        return cls(ranges)

    def config(self, base: TrainConfig, values: Mapping[str, Any]) -> TrainConfig:
        """Return `base` with the chosen values. Raises ConfigError for an invalid combination.

        SageMaker's `beta_1` is used by adam, `gamma` by rmsprop, `momentum` and `beta_2` by the
        other optimisers.
        """
        optimizer = values.get("optimizer", base.optimizer)
        adam, rmsprop = optimizer in ("adam", "adamw"), optimizer == "rmsprop"
        unused = {
            "beta_1": not adam,
            "momentum": adam and "beta_1" in values,
            "gamma": not rmsprop,
            "beta_2": rmsprop and "gamma" in values,
        }
        kept = {
            SAGEMAKER_NAMES.get(name, name): value
            for name, value in values.items()
            if not unused.get(name)
        }
        return replace(base, **{name: automatic(name, value) for name, value in kept.items()})

    def values(self, config: TrainConfig) -> dict[str, Any]:
        """Return the settings of a configuration that are in the space, by the space's names."""
        found = {}
        for name, distribution in self.ranges.items():
            value = getattr(config, SAGEMAKER_NAMES.get(name, name))
            if value is None:
                continue
            try:
                inside = distribution._contains(distribution.to_internal_repr(value))
            except ValueError:
                inside = False
            if inside:
                found[name] = value
        return found


def _check(space: Space) -> None:
    """Raise ConfigError for an unknown setting or a value out of its range."""
    if not space.ranges:
        raise ConfigError("it has no setting to try")
    types = {
        field.name: setting_type(field.name)
        for field in fields(TrainConfig)
        if field.name not in _FIXED
    }
    for name, distribution in space.ranges.items():
        kind = types.get(SAGEMAKER_NAMES.get(name, name))
        if kind is None:
            near = difflib.get_close_matches(name, types)
            raise ConfigError(
                f"{name} is not a setting that can be tuned"
                + (f"; near: {', '.join(near)}" if near else "")
            )
        if isinstance(distribution, CategoricalDistribution):
            _check_choices(name, kind, distribution.choices)
            ends: tuple[Any, ...] = distribution.choices
        else:
            if kind not in (int, float):
                raise ConfigError(f"{name} is not a number; list its values")
            assert isinstance(distribution, (FloatDistribution, IntDistribution))
            if kind is int and isinstance(distribution, FloatDistribution):
                raise ConfigError(f"{name} takes whole numbers")
            ends = (distribution.low, distribution.high)
        for value in ends:
            space.config(TrainConfig(), {name: value})


def _check_choices(name: str, kind: Any, choices: tuple[Any, ...]) -> None:
    allowed = get_args(kind) if get_origin(kind) is Literal else ()
    if allowed and name in AUTO and name != "pooling":  # which decides what else is right
        allowed = (AUTO[name], *allowed)
    for choice in choices:
        fits = (
            choice in allowed
            if allowed
            else type(choice) in ((int, float) if kind is float else (kind,))
        )
        if not fits:
            raise ConfigError(
                f"{name} cannot be {choice!r}"
                + (f"; it is one of {', '.join(map(str, allowed))}" if allowed else "")
            )
