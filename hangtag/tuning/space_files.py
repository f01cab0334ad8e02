"""Files that describe a search space: hangtag's own JSON, the JSON of SageMaker's
CreateHyperParameterTuningJob, and a notebook or script that calls the SageMaker SDK, which is
parsed, not run. No torch."""

import ast
import json
from collections.abc import Iterator, Mapping
from dataclasses import fields
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
from hangtag.training.config import AUTO, TrainConfig
from hangtag.tuning.config import Objective

OBJECTIVES: Final[tuple[Objective, ...]] = get_args(Objective)
Ranges = dict[str, BaseDistribution]
Contents = tuple[Ranges, Objective | None]

# From this ratio of the limits on, SageMaker's scaling "Auto" is read as logarithmic.
WIDE: Final = 100
# Names of SageMaker's image classification for settings that hangtag names otherwise. Three of them
# are one setting here, whose meaning depends on the optimiser: see `Space.config`.
SAGEMAKER_NAMES: Final = {"mini_batch_size": "batch_size", "beta_1": "momentum", "gamma": "beta_2"}


def read_contents(path: Path, text: str) -> Contents:
    """Return the ranges and the objective of a .json, .py or .ipynb file's text.

    Raises ConfigError, ValueError, KeyError, TypeError, AttributeError or SyntaxError.
    """
    if path.suffix == ".json":
        return _from_json(json.loads(text))
    if path.suffix == ".ipynb":
        return _from_script("\n".join(_code_of(json.loads(text))))
    if path.suffix == ".py":
        return _from_script(text)
    raise ConfigError("name a .json, .py or .ipynb file")


def setting_type(name: str) -> Any:
    """Return the type of a setting's values other than None; None for an unknown name."""
    known = {field.name: field.type for field in fields(TrainConfig)}
    kind = known.get(SAGEMAKER_NAMES.get(name, name))
    if get_origin(kind) in (Union, UnionType):
        (kind,) = (one for one in get_args(kind) if one is not NoneType)
    return kind


def _from_json(values: Any) -> Contents:
    if not isinstance(values, dict):
        raise ConfigError("it must hold one JSON object")
    for outer in ("HyperParameterTuningJobConfig", "hyperParameterTuningJobConfig"):
        values = values.get(outer, values)
    ranges = values.get("ParameterRanges", values)
    if any(key.endswith("ParameterRanges") for key in ranges):
        goal = values.get("HyperParameterTuningJobObjective", {})
        if goal.get("Type", "Maximize") != "Maximize":
            raise ConfigError("objectives are maximised: Type must be Maximize")
        return _from_request(ranges), _objective(goal.get("MetricName"))
    objective = _objective(values.get("objective"))
    return {n: _own(n, v) for n, v in values.items() if n != "objective"}, objective


def _own(name: str, value: Any) -> BaseDistribution:
    """Read {"low": 16, "high": 128, "log": true}, or a list of values."""
    if isinstance(value, list):
        return CategoricalDistribution(tuple(value))
    if not isinstance(value, dict) or set(value) - {"low", "high", "log"}:
        raise ConfigError(
            f'{name} must be a list of values, or {{"low": ..., "high": ...}}, with "log": true '
            "for a logarithmic scale"
        )
    low, high, log = value["low"], value["high"], bool(value.get("log", False))
    whole = isinstance(low, int) and isinstance(high, int) and setting_type(name) is int
    return _range(name, low, high, log=log, whole=whole)


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
        raise ConfigError(f"{name}: unknown scaling {scaling}; choose Linear")
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
    """Return the value that a string stands for; an invalid one is returned for a later error."""
    kind = setting_type(name)
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
    raise ConfigError(f"unknown objective {name!r}; choose one of {', '.join(OBJECTIVES)}")


def _code_of(notebook: Mapping[str, Any]) -> Iterator[str]:
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            lines = "".join(cell["source"]).splitlines()
            # Magics are not Python.
            yield "\n".join("" if line.lstrip().startswith(("%", "!")) else line for line in lines)


def _from_script(source: str) -> Contents:
    """Read objective_metric_name and every `{"name": ContinuousParameter(low, high), ...}`."""
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
    return ranges, objective


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
