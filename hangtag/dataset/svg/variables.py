"""Custom properties of CSS: var() with its fallbacks.

https://www.w3.org/TR/css-variables-1/
"""

from collections.abc import Mapping, Sequence
from typing import Final

import tinycss2
from tinycss2.ast import Node

MAX_LENGTH: Final = 100_000  # characters of one value: nested references grow exponentially
_DEEPEST: Final = 50


class Invalid(Exception):
    """A value refers to a custom property that does not exist, without a fallback."""


def has_reference(value: str) -> bool:
    """Return whether a value refers to a custom property or to the environment."""
    lower = value.lower()
    return "var(" in lower or "env(" in lower


def substituted(value: str, custom: Mapping[str, str], depth: int = 0) -> str:
    """Return `value` with every var() replaced. Raises Invalid."""
    if not has_reference(value):
        return value
    if depth > _DEEPEST:
        raise Invalid
    tokens = tinycss2.parse_component_value_list(value, skip_comments=True)
    text = _replaced(tokens, custom, depth).strip()
    if len(text) > MAX_LENGTH:
        raise Invalid
    return text


def _replaced(tokens: Sequence[Node], custom: Mapping[str, str], depth: int) -> str:
    parts: list[str] = []
    length = 0
    for token in tokens:
        if token.type == "function" and token.lower_name in ("var", "env"):
            part = _referenced(token, custom, depth)
        elif token.type == "function":
            part = f"{token.name}({_replaced(token.arguments, custom, depth)})"
        elif token.type == "() block":
            part = f"({_replaced(token.content, custom, depth)})"
        else:
            part = tinycss2.serialize([token])
        length += len(part)
        if length > MAX_LENGTH:
            raise Invalid
        # Blanks around a substitution keep tokens apart: 1var(--px) is not 1px.
        parts.append(part)
    return "".join(parts)


def _referenced(token: Node, custom: Mapping[str, str], depth: int) -> str:
    arguments = list(token.arguments)
    comma = next((i for i, part in enumerate(arguments) if part == ","), None)
    names = [part for part in arguments[:comma] if part.type not in ("whitespace", "comment")]
    if not names or names[0].type != "ident":
        raise Invalid
    if token.lower_name == "var":
        if len(names) != 1 or not names[0].value.startswith("--"):
            raise Invalid
        found = custom.get(names[0].value)
        if found is not None:
            return f" {found} "
    if comma is None:
        raise Invalid
    return substituted(tinycss2.serialize(arguments[comma + 1 :]), custom, depth + 1)


def resolved(declared: Mapping[str, str], inherited: dict[str, str]) -> dict[str, str]:
    """Return the custom properties of an element: its own, resolved, over the inherited ones.

    Properties that are part of a cycle, or refer to one that does not exist, are left out.
    """
    if not declared:
        return inherited
    done = {name: value for name, value in inherited.items() if name not in declared}
    for name, value in declared.items():
        word = value.lower()
        if word in ("inherit", "unset", "revert", "revert-layer"):
            if name in inherited:
                done[name] = inherited[name]
        elif word != "initial" and not has_reference(value):
            done[name] = value
    pending = {name: value for name, value in declared.items() if has_reference(value)}
    cyclic = _cyclic(pending)
    for name in _ordered(pending):
        if name in cyclic:
            continue
        try:
            done[name] = substituted(pending[name], done)
        except Invalid:
            continue
    return done


def _references(value: str) -> set[str]:
    """Return the names that a value refers to, including those in fallbacks."""
    found: set[str] = set()
    stack = list(tinycss2.parse_component_value_list(value))
    while stack:
        token = stack.pop()
        if token.type == "function":
            if token.lower_name == "var":
                found.update(part.value for part in token.arguments[:2] if part.type == "ident")
            stack += token.arguments
        elif token.type == "() block":
            stack += token.content
    return found


def _cyclic(pending: Mapping[str, str]) -> set[str]:
    edges = {name: _references(value) & set(pending) for name, value in pending.items()}
    return {name for name in edges if _reaches(name, edges)}


def _reaches(start: str, edges: Mapping[str, set[str]]) -> bool:
    seen: set[str] = set()
    stack = list(edges[start])
    while stack:
        name = stack.pop()
        if name == start:
            return True
        if name not in seen:
            seen.add(name)
            stack += edges[name]
    return False


def _ordered(pending: Mapping[str, str]) -> list[str]:
    """Return the names in an order in which each follows those it refers to."""
    done: dict[str, None] = {}
    stack = [(name, False) for name in reversed(list(pending))]
    open_names: set[str] = set()
    while stack:
        name, leaving = stack.pop()
        if leaving:
            done[name] = None
        elif name not in done and name not in open_names:
            open_names.add(name)
            stack.append((name, True))
            stack += ((other, False) for other in _references(pending[name]) & set(pending))
    return list(done)
