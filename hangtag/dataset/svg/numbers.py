"""Numbers, lengths, percentages and angles of CSS, with calc() and its relatives.

A quantity is a sum over units, {"px": 5, "%": 50} for `calc(50% + 5px)`; "" is the unit of plain
numbers. Absolute lengths are converted to px and angles to deg while they are read.
https://www.w3.org/TR/css-values-4/
"""

import math
from collections.abc import Sequence
from typing import Final

from tinycss2.ast import Node

Quantity = dict[str, float]
Basis = dict[str, float]  # px per unit: {"%": 0.64, "vw": ..., "rem": 16, ...}

_ABSOLUTE: Final = {
    "px": 1.0, "pt": 4 / 3, "pc": 16.0, "in": 96.0, "cm": 96 / 2.54, "mm": 9.6 / 2.54,
    "q": 2.4 / 2.54,
}  # fmt: skip
_ANGLES: Final = {"deg": 1.0, "grad": 0.9, "rad": 180 / math.pi, "turn": 360.0}
_OTHERS: Final = (
    "em", "ex", "ch", "ic", "lh", "rem", "rlh", "vw", "vh", "vi", "vb", "vmin", "vmax",
)  # fmt: skip
_CONSTANTS: Final = {"pi": math.pi, "e": math.e, "infinity": math.inf}
_DEEPEST: Final = 30  # calc() in calc()


def quantity(token: Node, depth: int = 0, basis: Basis | None = None) -> Quantity | None:
    """Return the quantity of a component value, None if it is not one or has an unknown unit.

    `basis` is needed where lengths of several units are compared, as in `min(4px, 50%)`.
    """
    if token.type == "number":
        return {"": token.value}
    if token.type == "percentage":
        return {"%": token.value}
    if token.type == "dimension":
        return _dimension(token.value, token.lower_unit)
    if token.type == "function" and depth < _DEEPEST:
        return _function(token, depth, basis or {})
    return None


def number(token: Node) -> float | None:
    """Return a plain number, else None."""
    found = quantity(token)
    return found[""] if found is not None and set(found) == {""} else None


def number_or_share(token: Node) -> float | None:
    """Return a number, or a percentage as a fraction; else None."""
    found = quantity(token)
    if found is None or not set(found) <= {"", "%"}:
        return None
    return found.get("", 0.0) + found.get("%", 0.0) / 100


def angle(token: Node) -> float | None:
    """Return an angle in degrees, else None; a plain 0 is an angle."""
    found = quantity(token)
    if found is None or not (set(found) == {"deg"} or found == {"": 0}):
        return None
    return next(iter(found.values()))


def in_pixels(found: Quantity, basis: Basis) -> float | None:
    """Return a length in px, None if `basis` lacks one of its units."""
    units = {"px": 1.0, "": 1.0, **basis}
    if not set(found) <= set(units):
        return None
    value = sum(amount * units[unit] for unit, amount in found.items())
    return value if math.isfinite(value) else None


def text(value: float) -> str:
    """Write a number as SVG does."""
    return f"{value:.9g}"


def _dimension(value: float, unit: str) -> Quantity | None:
    if unit in _ABSOLUTE:
        return {"px": value * _ABSOLUTE[unit]}
    if unit in _ANGLES:
        return {"deg": value * _ANGLES[unit]}
    return {unit: value} if unit in _OTHERS else None


def _function(token: Node, depth: int, basis: Basis) -> Quantity | None:
    name = token.lower_name.removeprefix("-webkit-")
    if name == "calc":
        return _sum(token.arguments, depth + 1, basis)
    if name not in ("min", "max", "clamp", "abs"):
        return None
    arguments = [_sum(part, depth + 1, basis) for part in split(token.arguments, ",")]
    known = [argument for argument in arguments if argument]
    units = {unit for argument in known for unit in argument}
    if len(known) != len(arguments):
        return None
    if len(units) > 1:
        pixels = [in_pixels(argument, basis) for argument in known]
        known, units = [{"px": value} for value in pixels if value is not None], {"px"}
        if len(known) != len(arguments):
            return None
    unit = units.pop()
    values = [argument[unit] for argument in known]
    if name == "clamp" and len(values) == 3:
        return {unit: max(values[0], min(values[1], values[2]))}
    if name == "abs" and len(values) == 1:
        return {unit: abs(values[0])}
    return {unit: (min if name == "min" else max)(values)} if name in ("min", "max") else None


def split(tokens: Sequence[Node], separator: str) -> list[list[Node]]:
    """Split component values at a literal; leave out blanks and comments."""
    parts: list[list[Node]] = [[]]
    for token in tokens:
        if token.type == "literal" and token.value == separator:
            parts.append([])
        elif token.type not in ("whitespace", "comment"):
            parts[-1].append(token)
    return parts


def _sum(tokens: Sequence[Node], depth: int, basis: Basis) -> Quantity | None:
    """Return the sum of terms joined by `+` and `-`; signs of numbers are part of their tokens."""
    terms: list[tuple[float, list[Node]]] = [(1.0, [])]
    for token in tokens:
        if token.type in ("whitespace", "comment"):
            continue
        if token.type == "literal" and token.value in "+-":
            terms.append((1.0 if token.value == "+" else -1.0, []))
        else:
            terms[-1][1].append(token)
    total: Quantity = {}
    for sign, factors in terms:
        found = _product(factors, depth, basis)
        if found is None:
            return None
        for unit, amount in found.items():
            total[unit] = total.get(unit, 0.0) + sign * amount
    return total


def _product(tokens: Sequence[Node], depth: int, basis: Basis) -> Quantity | None:
    result: Quantity | None = None
    operator = "*"
    for index, token in enumerate(tokens):
        if index % 2:
            operator = token.value if token.type == "literal" else ""
            continue
        factor = _factor(token, depth, basis)
        if factor is None:
            return None
        result = factor if result is None else _multiplied(result, operator, factor)
        if result is None:
            return None
    return result if len(tokens) % 2 else None


def _multiplied(left: Quantity, operator: str, right: Quantity) -> Quantity | None:
    if operator == "*" and set(left) == {""}:
        left, right = right, left
    if set(right) != {""} or operator not in ("*", "/"):
        return None
    if operator == "/" and right[""] == 0:
        return None
    scale = right[""] if operator == "*" else 1 / right[""]
    return {unit: amount * scale for unit, amount in left.items()}


def _factor(token: Node, depth: int, basis: Basis) -> Quantity | None:
    if token.type == "() block" and depth < _DEEPEST:
        return _sum(token.content, depth + 1, basis)
    if token.type == "ident" and token.lower_value in _CONSTANTS:
        return {"": _CONSTANTS[token.lower_value]}
    return quantity(token, depth, basis)
