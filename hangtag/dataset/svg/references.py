"""Broken references: what a browser does where url(#id) does not exist.

It ignores a filter, clip path or mask that does not exist or is of another kind, and replaces a
paint by its fallback. The renderer would hide the element in some of these cases.
"""

import re
from typing import Final

from hangtag.dataset.svg.tree import SVG, Element, by_id

_PAINTS: Final = ("linearGradient", "radialGradient", "pattern")
_TARGETS: Final = {
    "filter": ("filter",),
    "clip-path": ("clipPath",),
    "mask": ("mask",),
    "fill": _PAINTS,
    "stroke": _PAINTS,
}
_REFERENCE: Final = re.compile(r"url\(#([^)]*)\)")
_STYLED: Final = re.compile(
    r"(?:^|(?<=[;\s]))(fill|stroke|clip-path|mask)(\s*:\s*)(url\(#[^)]*\)[^;]*)"
)
_FILTERS: Final = re.compile(r"[\w-]+\((?:[^()]|\([^()]*\))*\)")


def fix(root: Element) -> None:
    """Remove references of properties to elements that do not exist or are of another kind."""
    kinds: dict[str, str] | None = None
    for element in root.iter():
        for name, value in element.attrib.items():
            if "url(" in value and (name in _TARGETS or name == "style"):
                if kinds is None:
                    kinds = {
                        key: str(found.tag).removeprefix(SVG) for key, found in by_id(root).items()
                    }
                if name == "style":
                    value = _fixed_style(value, kinds)
                else:
                    value = _fixed(name, value, kinds)
                element.attrib[name] = value


def _fixed(name: str, value: str, kinds: dict[str, str]) -> str:
    if name == "filter":
        kept = [word for word in _FILTERS.findall(value) if _exists(name, word, kinds)]
        return " ".join(kept) or "none"
    found = _REFERENCE.match(value)
    if found is None or _exists(name, found[0], kinds):
        return value
    return value[found.end() :].strip() or "none"


def _exists(name: str, word: str, kinds: dict[str, str]) -> bool:
    found = _REFERENCE.fullmatch(word)
    return found is None or kinds.get(found[1]) in _TARGETS[name]


def _fixed_style(style: str, kinds: dict[str, str]) -> str:
    """Fix a style attribute of plain declarations."""

    def replaced(found: re.Match[str]) -> str:
        name, colon, value = found.groups()
        return f"{name}{colon}{_fixed(name, value, kinds)}"

    return _STYLED.sub(replaced, style)
