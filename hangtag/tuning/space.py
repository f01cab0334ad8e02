"""The search space of a study: which settings are tried, and between which limits. No torch.

Three forms are read: hangtag's own JSON, the JSON of SageMaker's CreateHyperParameterTuningJob, and
a notebook or script that calls the SageMaker SDK, which is parsed, not run.
"""

import ast
import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from hangtag.errors import ConfigError
from hangtag.storage.files import read_text
from hangtag.training.config import AUTO, TrainConfig, automatic
from hangtag.tuning.config import Objective

OBJECTIVES: Final[tuple[Objective, ...]] = get_args(Objective)
Ranges = dict[str, BaseDistribution]

# From this ratio of the limits on, SageMaker's scaling "Auto" is taken as logarithmic.
WIDE: Final = 100
# Not what a run computes, or, for minutes, in the way of comparing trials by epochs.
_FIXED: Final = ("cache_gib", "checkpoint_minutes", "tracker", "minutes", "freeze")
# What SageMaker's image classification lets one tune, where hangtag has another name for it. Three
# of these are one setting here, whose meaning the optimiser decides: see `Space.config`.
_SAGEMAKER_NAMES: Final = {"mini_batch_size": "batch_size", "beta_1": "momentum", "gamma": "beta_2"}

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
# A head on fixed features sees no augmentation, and needs other steps.
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
    """What the file says is to be made large; None where it does not say."""

    @classmethod
    def read(cls, path: Path) -> "Space":
        """Read a .json, .py or .ipynb file. Raises ConfigError."""
        text = read_text(path, ConfigError)
        try:
            if path.suffix == ".json":
                found = _from_json(json.loads(text))
            elif path.suffix == ".ipynb":
                found = _from_script("\n".join(_code_of(json.loads(text))))
            elif path.suffix == ".py":
                found = _from_script(text)
            else:
                raise ConfigError("name a .json, .py or .ipynb file")
            _check(found)
        except (ValueError, KeyError, TypeError, AttributeError, SyntaxError, ConfigError) as cause:
            said = f"has no {cause}" if isinstance(cause, KeyError) else str(cause)
            raise ConfigError(f"search space {path}: {said}") from cause
        return found

    @classmethod
    def default(cls, config: TrainConfig) -> "Space":
        """Return the built-in space for such a run."""
        ranges = dict(DEFAULT_FROZEN if config.freeze else DEFAULT)
        if config.optimizer != "adamw":  # the others add it to the gradient
            ranges["weight_decay"] = FloatDistribution(1e-6, 1e-2, log=True)
        return cls(ranges)

    def config(self, base: TrainConfig, values: Mapping[str, Any]) -> TrainConfig:
        """Return `base` with the chosen values. Raises ConfigError for what cannot go together.

        SageMaker's `beta_1` counts with adam, `gamma` with rmsprop, and beside them `momentum` and
        `beta_2` with the other optimisers.
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
            _SAGEMAKER_NAMES.get(name, name): value
            for name, value in values.items()
            if not unused.get(name)
        }
        return replace(base, **{name: automatic(name, value) for name, value in kept.items()})

    def values(self, config: TrainConfig) -> dict[str, Any]:
        """Return what of a configuration lies in the space, by the space's names."""
        found = {}
        for name, distribution in self.ranges.items():
            value = getattr(config, _SAGEMAKER_NAMES.get(name, name))
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
    """Raise ConfigError for a name that is no setting or a value that it cannot take."""
    if not space.ranges:
        raise ConfigError("no setting to try was found in it")
    types = {
        field.name: _type(field.name) for field in fields(TrainConfig) if field.name not in _FIXED
    }
    for name, distribution in space.ranges.items():
        kind = types.get(_SAGEMAKER_NAMES.get(name, name))
        if kind is None:
            near = difflib.get_close_matches(name, types)
            raise ConfigError(
                f"{name} is no setting that can be tuned"
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
        allowed += (AUTO[name],)
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


def _from_json(values: Any) -> Space:
    if not isinstance(values, dict):
        raise ConfigError("it must hold one JSON object")
    for outer in ("HyperParameterTuningJobConfig", "hyperParameterTuningJobConfig"):
        values = values.get(outer, values)
    ranges = values.get("ParameterRanges", values)
    if any(key.endswith("ParameterRanges") for key in ranges):
        goal = values.get("HyperParameterTuningJobObjective", {})
        if goal.get("Type", "Maximize") != "Maximize":
            raise ConfigError("every objective here is made large: Type must be Maximize")
        return Space(_from_request(ranges), _objective(goal.get("MetricName")))
    objective = _objective(values.get("objective"))
    return Space({n: _own(n, v) for n, v in values.items() if n != "objective"}, objective)


def _own(name: str, value: Any) -> BaseDistribution:
    """Read {"low": 16, "high": 128, "log": true}, or a list of values."""
    if isinstance(value, list):
        return CategoricalDistribution(tuple(value))
    if not isinstance(value, dict) or set(value) - {"low", "high", "log"}:
        raise ConfigError(
            f'{name} must be a list of values, or {{"low": ..., "high": ...}}, with "log": true to '
            "go by factors"
        )
    low, high, log = value["low"], value["high"], bool(value.get("log", False))
    whole = isinstance(low, int) and isinstance(high, int) and _type(name) is int
    return _range(name, low, high, log=log, whole=whole)


def _type(name: str) -> Any:
    """Return the type of a setting's values but None, None for what is no setting."""
    known = {field.name: field.type for field in fields(TrainConfig)}
    kind = known.get(_SAGEMAKER_NAMES.get(name, name))
    if get_origin(kind) in (Union, UnionType):
        (kind,) = (one for one in get_args(kind) if one is not NoneType)
    return kind


def _range(name: str, low: Any, high: Any, *, log: bool, whole: bool) -> BaseDistribution:
    try:
        if whole:
            return IntDistribution(int(low), int(high), log=log)
        return FloatDistribution(float(low), float(high), log=log)
    except ValueError as cause:
        raise ConfigError(f"{name}: {cause}") from cause


def _scaled(name: str, low: Any, high: Any, scaling: str, *, whole: bool) -> BaseDistribution:
    """Return the range of SageMaker's scaling type."""
    if scaling not in ("Auto", "Linear", "Logarithmic"):
        raise ConfigError(f"{name}: scaling {scaling} is not known here; choose Linear")
    wide = float(low) > 0 and float(high) / float(low) >= WIDE
    log = scaling == "Logarithmic" or (scaling == "Auto" and wide)
    return _range(name, low, high, log=log, whole=whole)


def _from_request(ranges: Mapping[str, Any]) -> Ranges:
    """Read the lists of CreateHyperParameterTuningJob, in which every value is a string."""
    found: Ranges = {}
    for kind in ("Continuous", "Integer"):
        for one in ranges.get(f"{kind}ParameterRanges", []):
            low, high = one["MinValue"], one["MaxValue"]
            scaling = one.get("ScalingType", "Auto")
            found[one["Name"]] = _scaled(one["Name"], low, high, scaling, whole=kind == "Integer")
    for one in ranges.get("CategoricalParameterRanges", []):
        values = tuple(_value(one["Name"], text) for text in one["Values"])
        found[one["Name"]] = CategoricalDistribution(values)
    return found


def _value(name: str, text: Any) -> Any:
    """Return what a string means for a setting; one without meaning stays, for a later error."""
    kind = _type(name)
    try:
        if kind is bool:
            return {"true": True, "1": True, "false": False, "0": False}.get(text.lower(), text)
        if get_origin(kind) is Literal:
            choices = (*get_args(kind), AUTO.get(name))
            return next((choice for choice in choices if str(choice) == text), text)
        return kind(text) if kind in (int, float) else text
    except (AttributeError, ValueError):
        return text


def _objective(name: str | None) -> Objective | None:
    if name is None:
        return None
    for known in OBJECTIVES:
        if name == known:
            return known
    raise ConfigError(f"objective {name!r} is not known; choose one of {', '.join(OBJECTIVES)}")


def _code_of(notebook: Mapping[str, Any]) -> Iterator[str]:
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            lines = "".join(cell["source"]).splitlines()
            # Magics are no Python; everything that matters here is.
            yield "\n".join("" if line.lstrip().startswith(("%", "!")) else line for line in lines)


def _from_script(source: str) -> Space:
    """Read `{"name": ContinuousParameter(low, high), ...}` wherever it stands, the last one first,
    and objective_metric_name."""
    ranges: Ranges = {}
    objective = None
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and _call_of(value).endswith("Parameter"):
                    ranges[str(key.value)] = _from_call(str(key.value), value)
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            if "objective_metric_name" in names:
                objective = _objective(str(node.value.value))
        elif (
            isinstance(node, ast.keyword)
            and node.arg == "objective_metric_name"
            and isinstance(node.value, ast.Constant)
        ):
            objective = _objective(str(node.value.value))
    return Space(ranges, objective)


def _call_of(node: ast.expr) -> str:
    """Return the last part of the name of the function that is called."""
    if not isinstance(node, ast.Call):
        return ""
    function = node.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _from_call(name: str, node: ast.expr) -> BaseDistribution:
    assert isinstance(node, ast.Call)
    given = dict(enumerate(ast.literal_eval(one) for one in node.args))
    named = {one.arg: ast.literal_eval(one.value) for one in node.keywords}
    if _call_of(node) == "CategoricalParameter":
        values = named.get("values", given.get(0))
        return CategoricalDistribution(tuple(values if isinstance(values, list) else [values]))
    low, high = named.get("min_value", given.get(0)), named.get("max_value", given.get(1))
    scaling = named.get("scaling_type", given.get(2, "Auto"))
    whole = _call_of(node) == "IntegerParameter"
    return _scaled(name, low, high, scaling, whole=whole)
