"""The <style> elements of an SVG -> the declarations that apply to an element, in cascade order.

Rules inside of @media, @supports, @layer and other rules apply as in a browser that shows the
drawing at its own size on a light screen. https://www.w3.org/TR/css-cascade-5/
"""

import math
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

import cssselect2
import tinycss2
from tinycss2.ast import Node

from hangtag.dataset.svg import numbers
from hangtag.dataset.svg.addresses import content_of
from hangtag.dataset.svg.media import MediaScreen, supported
from hangtag.dataset.svg.tree import SVG, Element
from hangtag.errors import ImageError

MAX_SELECTOR: Final = 20_000  # characters, after nesting: "&&" in "&&" grows twofold per level
MAX_RULES: Final = 20_000
_UNLAYERED: Final = math.inf  # rules outside of layers come after all layers
_STYLE_TAGS: Final = (SVG + "style", "{http://www.w3.org/1999/xhtml}style")

# Lengths that Chromium takes without a unit in attributes, but not in a style sheet.
_WITH_UNIT: Final = ("width", "height", "font-size", "letter-spacing", "word-spacing")
_BARE: Final = re.compile(r"[+-]?[\d.]*[1-9][\d.]*")

Layer = tuple[float, ...]


class Declaration(NamedTuple):
    """One declaration and its position in the cascade: the later in order, the stronger."""

    order: tuple[object, ...]
    name: str  # in lower case, except custom properties
    value: str


def cascade_order(
    important: bool, layer: Layer, specificity: tuple[int, ...], position: int, inline: bool = False
) -> tuple[object, ...]:
    """Return the sort key of a declaration: importance, style attribute, layer, specificity."""
    ranks = (*layer, _UNLAYERED)
    return (
        important,
        inline,
        tuple(-rank for rank in ranks) if important else ranks,
        specificity,
        position,
    )


def declarations(content: Iterable[Node] | str) -> list[tuple[str, str, bool]]:
    """Return (name, value, important) of every valid declaration of a block."""
    nodes = tinycss2.parse_declaration_list(content, skip_comments=True, skip_whitespace=True)
    return [_declaration(node) for node in nodes if node.type == "declaration"]


@lru_cache(maxsize=4096)
def inline_declarations(style: str) -> list[tuple[str, str, bool]]:
    """Return the same for a style attribute, cached: drawings repeat them often."""
    return declarations(style)


def _declaration(node: Node) -> tuple[str, str, bool]:
    name = node.name if node.name.startswith("--") else node.lower_name
    value = [token for token in node.value if token.type != "comment"]
    return name, tinycss2.serialize(value).strip(), node.important


class Stylesheet:
    """All rules of a document."""

    def __init__(self, screen: MediaScreen) -> None:
        self._screen = screen
        self._matcher = cssselect2.Matcher()
        self._namespaces: dict[str | None, str] = {}
        self._layers: dict[tuple[str, ...], float] = {}
        self._rules = 0
        self.initial: dict[str, str] = {}  # of custom properties, by @property

    @classmethod
    def of(cls, root: Element, screen: MediaScreen) -> "Stylesheet | None":
        """Read the style sheets of a document; None if it has no rule."""
        sheet = cls(screen)
        for tag in _STYLE_TAGS:
            for element in root.iter(tag):
                kind = element.get("type", "").lower()
                if kind in ("", "text/css") and screen.matches(element.get("media", "")):
                    text = (element.text or "") + "".join(child.tail or "" for child in element)
                    sheet._add(tinycss2.parse_stylesheet(text, True, True), "", ())
        return sheet if sheet._rules or sheet.initial else None

    def matching(self, element: cssselect2.ElementWrapper) -> list[Declaration]:
        """Return what the rules declare for an element, unsorted."""
        found: list[Declaration] = []
        for specificity, position, pseudo, (layer, declared) in self._matcher.match(element):
            if pseudo is None:
                found += (
                    Declaration(cascade_order(important, layer, specificity, position), name, value)
                    for name, value, important in declared
                )
        return found

    def _add(
        self, nodes: Iterable[Node], parent: str, layer: Layer, path: tuple[str, ...] = ()
    ) -> None:
        """Add rules, and the declarations among them, which apply to `parent`."""
        declared: list[tuple[str, str, bool]] = []
        for node in nodes:
            if node.type == "declaration":
                found = _declaration(node)
                if not (found[0] in _WITH_UNIT and _BARE.fullmatch(found[1])):
                    declared.append(found)
                continue
            # Declarations and the rules among them apply in document order.
            self._add_rule(parent, layer, declared)
            declared = []
            if node.type == "qualified-rule":
                selector = _nested(node.prelude, parent)
                content = tinycss2.parse_blocks_contents(node.content, True, True)
                self._add(content, selector, layer, path)
            elif node.type == "at-rule":
                self._add_at_rule(node, parent, layer, path)
        self._add_rule(parent, layer, declared)

    def _add_rule(self, selector: str, layer: Layer, declared: list[tuple[str, str, bool]]) -> None:
        if not (declared and selector):
            return
        self._rules += 1
        if self._rules > MAX_RULES:
            raise ImageError("too-complex", f"SVG with over {MAX_RULES:,} style rules")
        try:
            compiled = cssselect2.compile_selector_list(selector, self._namespaces)
        except cssselect2.SelectorError:  # the whole rule is invalid, as in browsers
            return
        for each in compiled:
            self._matcher.add_selector(each, (layer, declared))

    def _add_at_rule(self, node: Node, parent: str, layer: Layer, path: tuple[str, ...]) -> None:
        name = node.lower_at_keyword
        if name == "layer":
            self._add_layer(node, parent, path)
        elif name == "namespace":
            self._add_namespace(node.prelude)
        elif name == "import":
            self._add_import(node.prelude, layer, path)
        elif name == "property" and node.content is not None:
            for descriptor, value, _ in declarations(node.content):
                if descriptor == "initial-value":
                    self.initial[tinycss2.serialize(node.prelude).strip()] = value
        elif node.content is not None and self._holds(name, node.prelude):
            if name == "scope" and (scope := _scope(node.prelude)):
                parent = scope
            self._add(_content(node, parent), parent, layer, path)

    def _holds(self, name: str, prelude: Sequence[Node]) -> bool:
        if name == "media":
            return self._screen.matches_tokens(prelude)
        if name == "supports":
            return supported(prelude)
        return name == "scope"

    def _add_layer(self, node: Node, parent: str, path: tuple[str, ...]) -> None:
        names = [
            tuple(tinycss2.serialize(part).replace(" ", "").split("."))
            for part in numbers.split(node.prelude, ",")
        ]
        if names == [("",)]:
            names = [(f" {len(self._layers)}",)]  # an unnamed layer is one of its own
        layers = [self._layer((*path, *name)) for name in names]
        if node.content is not None and len(names) == 1:
            self._add(_content(node, parent), parent, layers[0], (*path, *names[0]))

    def _layer(self, path: tuple[str, ...]) -> Layer:
        for length in range(1, len(path) + 1):
            self._layers.setdefault(path[:length], float(len(self._layers)))
        return tuple(self._layers[path[:length]] for length in range(1, len(path) + 1))

    def _add_import(self, prelude: Sequence[Node], layer: Layer, path: tuple[str, ...]) -> None:
        """Add a style sheet from a `data:` address; others are not fetched."""
        words = [token for token in prelude if token.type not in ("whitespace", "comment")]
        address = words[0] if words else None
        if address is not None and address.type == "function" and address.arguments:
            address = address.arguments[0]
        if address is None or address.type not in ("string", "url"):
            return
        data = content_of(address.value)
        if data is not None and self._screen.matches_tokens(words[1:]):
            text = data.decode("utf-8", "replace")
            self._add(tinycss2.parse_stylesheet(text, True, True), "", layer, path)

    def _add_namespace(self, prelude: Sequence[Node]) -> None:
        words = [token for token in prelude if token.type not in ("whitespace", "comment")]
        if not words:
            return
        address = words[-1]
        if address.type == "function" and address.arguments:
            address = address.arguments[0]
        if address.type in ("string", "url"):
            prefix = words[0].value if len(words) == 2 and words[0].type == "ident" else None
            self._namespaces[prefix] = address.value


def _content(node: Node, parent: str) -> list[Node]:
    """Return the content of a conditional rule: rules, and inside of a rule also declarations."""
    if parent:
        return list(tinycss2.parse_blocks_contents(node.content, True, True))
    return list(tinycss2.parse_rule_list(node.content, True, True))


def _scope(prelude: Sequence[Node]) -> str:
    """Return the selector of a @scope's root; its lower limit is ignored."""
    first = prelude[0] if prelude else None
    for token in prelude:
        if token.type not in ("whitespace", "comment"):
            first = token
            break
    if first is None or first.type != "() block":
        return ""
    return str(tinycss2.serialize(first.content))


def _nested(prelude: Sequence[Node], parent: str) -> str:
    """Return the selectors of a rule in a rule, `&` replaced by what the outer rule selects.

    https://www.w3.org/TR/css-nesting-1/
    """
    if not parent:
        text = str(tinycss2.serialize(_replaced(prelude, ":root")))
    else:
        outer = f":is({parent})"
        text = ", ".join(_relative(part, outer) for part in _parts(prelude))
    if len(text) > MAX_SELECTOR:
        raise ImageError("too-complex", f"SVG with a selector of over {MAX_SELECTOR:,} characters")
    return text


def _parts(prelude: Sequence[Node]) -> list[list[Node]]:
    parts: list[list[Node]] = [[]]
    for token in prelude:
        if token == ",":
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def _relative(part: list[Node], outer: str) -> str:
    replaced = tinycss2.serialize(_replaced(part, outer)).strip()
    if replaced != tinycss2.serialize(part).strip():
        starts_with_combinator = replaced[:1] in (">", "+", "~")
        return f"{outer} {replaced}" if starts_with_combinator else replaced
    return f"{outer} {replaced}"


def _replaced(tokens: Sequence[Node], outer: str) -> list[Node]:
    """Replace every `&` by `outer`, also in functions such as :not(&)."""
    result: list[Node] = []
    for token in tokens:
        if token == "&":
            result += tinycss2.parse_component_value_list(outer)
        elif token.type == "function":
            token.arguments = _replaced(token.arguments, outer)
            result.append(token)
        else:
            result.append(token)
    return result
