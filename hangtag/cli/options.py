"""Options that commands share, a command's result, and configurations as groups of options."""

import dataclasses
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

import docstring_parser
from cyclopts import Group, Parameter, Token

T = TypeVar("T")

OUTPUT: Final = Group("Output", sort_key=90)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Output:
    """What a command prints."""

    quiet: Annotated[bool, Parameter(group=OUTPUT)] = False
    """Only results and errors: no progress bars, no messages."""

    json: Annotated[bool, Parameter(name="--json", group=OUTPUT)] = False
    """Print the result as JSON."""


@dataclass(frozen=True)
class Result:
    """The result of a command: as lines for a person, as JSON for a program."""

    lines: Iterable[str]
    data: Any
    failure: str = ""
    """Why the command ends with exit code 1 after printing its result."""
    streamed: bool = False
    """Whether the command has printed its result itself, line by line."""


TagsFile = Annotated[
    Path | None,
    Parameter(
        name="--tags-file",
        help="Tag names in the order of the label columns, one per line or as tags.json, for a"
        " dataset without tag names.",
    ),
]
Workers = Annotated[
    int | None, Parameter(help="Worker processes; auto is one per core.", show_default="auto")
]

Shard = Annotated[
    str | None,
    Parameter(
        metavar="I/N",
        help="Do one of N parts, I from 0, into a file of its own; `hangtag merge` joins them.",
    ),
]

Precision = Annotated[
    Literal["auto", "fp32", "int8"],
    Parameter(
        help="Compute in 8 bits (int8) or not (fp32); auto: in 8 bits where the model has a network"
        " for that and this machine's processor is quicker by it.",
    ),
]

Cluster = Annotated[
    str | None,
    Parameter(
        metavar="ADDRESS",
        help="Work on the Ray cluster at ADDRESS; auto is the one that runs on this machine.",
    ),
]


def shown_default(value: Any) -> str | None:
    """Return how help shows a default; None for flags that are off and for what is not set."""
    if value is None or value is False or value == ():
        return None
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    if isinstance(value, float):
        return f"{value:g}"
    return "on" if value is True else str(value)


# Of the whole command line: flags that are off by default need no --no-FLAG.
DEFAULTS: Final = Parameter(negative="", show_default=shown_default)

_UNITS: Final[Mapping[str, Mapping[str, float]]] = {
    "minutes": {"s": 1 / 60, "m": 1, "min": 1, "h": 60, "d": 1440},
    "hours": {"s": 1 / 3600, "m": 1 / 60, "min": 1 / 60, "h": 1, "d": 24},
    "gib": {"kib": 2**-20, "mib": 2**-10, "gib": 1, "tib": 1024,
            "kb": 1e3 / 2**30, "mb": 1e6 / 2**30, "gb": 1e9 / 2**30, "tb": 1e12 / 2**30},
    "mb": {"kib": 1024 / 1e6, "mib": 2**20 / 1e6, "gib": 2**30 / 1e6,
           "kb": 1e-3, "mb": 1, "gb": 1e3},
}  # fmt: skip
_QUANTITY: Final = re.compile(r"([0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)\s*([A-Za-z]*)")


def quantity(text: str, unit: str) -> float:
    """Return a duration or size such as 90m, 2h or 8GiB in `unit`, the unit of a plain number.

    Raises ValueError for any other text.
    """
    found = _QUANTITY.fullmatch(text.strip())
    factor = _UNITS[unit].get(found[2].lower()) if found and found[2] else 1
    if found is None or factor is None:
        raise ValueError(f"{text!r}: write a number, or one with {', '.join(_UNITS[unit])}")
    return float(found[1]) * factor


def _quantity_settings(unit: str) -> dict[str, Any]:
    """Return the settings of a cyclopts parameter that takes quantities."""

    def convert(_: Any, tokens: Sequence[Token]) -> float:
        return quantity(tokens[0].value, unit)

    metavar = "DURATION" if unit in ("minutes", "hours") else "SIZE"
    return {"converter": convert, "n_tokens": 1, "metavar": metavar}


Minutes = Annotated[float | None, Parameter(**_quantity_settings("minutes"), show_default="auto")]
Hours = Annotated[float, Parameter(**_quantity_settings("hours"))]


def options_of(
    config: type,
    groups: Mapping[Group, Sequence[str]] | None = None,
    *,
    unset: Collection[str] = (),
) -> Any:
    """Return a dataclass that cyclopts shows as options: the fields of the dataclass `config`.

    `groups` names the fields of each group of the help. Fields named after a unit take quantities.
    Help shows a default of None as `auto`, except for the fields `unset`, where it means "not set".
    """
    texts = {
        one.arg_name: one.description for one in docstring_parser.parse_from_object(config).params
    }
    group_of = {name: group for group, names in (groups or {}).items() for name in names}
    fields: list[tuple[str, Any, Any]] = []
    for field in dataclasses.fields(config):
        settings: dict[str, Any] = {"help": " ".join((texts.get(field.name) or "").split())}
        if field.name in group_of:
            settings["group"] = group_of[field.name]
        unit = field.name.rpartition("_")[2]
        if unit in _UNITS:
            settings |= _quantity_settings(unit)
        if field.default is None and field.name not in unset:
            settings["show_default"] = "auto"
        if field.default is True or field.type == bool | None:
            settings["negative"] = f"--no-{field.name.replace('_', '-')}"
        fields.append((field.name, Annotated[field.type, Parameter(**settings)], field.default))
    made = dataclasses.make_dataclass(
        f"{config.__name__}Options", fields, frozen=True, kw_only=True
    )
    made.__module__ = __name__  # cyclopts takes a class of the module `types` for a builtin
    return Annotated[made | None, Parameter(name="*")]


def config_of(kind: type[T], options: Any) -> T | None:
    """Return the configuration given by options of `options_of(kind)`; None if none was given."""
    if options is None:
        return None
    return kind(
        **{field.name: getattr(options, field.name) for field in dataclasses.fields(options)}
    )
