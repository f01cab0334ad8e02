"""SVG text -> element tree, with common errors of real programs fixed.

Entities are resolved, their expansion limited by expat; external ones are refused. HTML entities
(`&nbsp;`), undeclared namespaces, and a misspelt or missing SVG namespace are fixed: browsers
refuse such files, the owner of a library would not.
"""

import html
import html.entities
import re
from typing import Final
from xml.etree import ElementTree

import defusedxml
from defusedxml.ElementTree import fromstring

from hangtag.dataset.svg.addresses import content_of
from hangtag.dataset.svg.encoding import root_offset
from hangtag.errors import ImageError

Element = ElementTree.Element
SVG: Final = "{http://www.w3.org/2000/svg}"
XLINK: Final = "http://www.w3.org/1999/xlink"
HREFS: Final = ("href", f"{{{XLINK}}}href")
MAX_ELEMENTS: Final = 200_000  # after <use> is expanded; openclipart's largest drawing has 14,000
MAX_DEPTH: Final = 150  # openclipart's deepest has 12; at 400 the renderer overflows its stack

_ENTITY: Final = re.compile(r"&([A-Za-z][A-Za-z0-9]*);")
_PREFIXED: Final = re.compile(r"[<\s/]([^\W\d][\w.-]*):[^\W\d]")
_START_TAG: Final = re.compile(r"""<[^\s/>]+(?:[^"'>]|"[^"]*"|'[^']*')*""")
_COMMENT: Final = re.compile(r"<!--.*?-->", re.DOTALL)
_LINKED: Final = re.compile(r"<\?xml-stylesheet\s(.*?)\?>", re.DOTALL)
_WORD: Final = re.compile(r"""([\w-]+)\s*=\s*("[^"]*"|'[^']*')""")
_BLANKS: Final = " \t\r\n\f"
_KEPT: Final = ("id", "type")  # where white space counts
_NAMESPACES: Final = {"svg": SVG[1:-1], "xlink": XLINK}


def parse(text: str) -> Element:
    """Return the root of an SVG document. Raises ImageError."""
    try:
        root = _parsed(text)
    except ElementTree.ParseError as cause:
        message = str(cause)
        if not message.startswith(("undefined entity", "unbound prefix")):
            raise _not_well_formed(cause) from cause
        try:
            root = _parsed(_with_namespaces(_ENTITY.sub(_character, text)))
        except ElementTree.ParseError as still:
            raise _not_well_formed(still) from still
    if root.tag.rpartition("}")[2] != "svg":
        raise ImageError("unreadable", f"XML document is <{root.tag}>, not <svg>")
    _set_namespace(root)
    _strip_values(root)
    _add_linked_styles(root, text)
    return root


def _parsed(text: str) -> Element:
    try:
        # Illustrator's files declare entities, so they are allowed; external ones are not, and
        # expat itself stops an expansion of over 100 times the input.
        root: Element = fromstring(text, forbid_entities=False, forbid_external=True)
    except defusedxml.DefusedXmlException as cause:
        raise ImageError("hostile", f"SVG refers to an external entity: {cause}") from cause
    except ElementTree.ParseError:
        raise
    except (ValueError, LookupError, RecursionError) as cause:
        raise ImageError("unreadable", f"SVG cannot be read: {cause}") from cause
    return root


def _not_well_formed(cause: Exception) -> ImageError:
    return ImageError("unreadable", f"SVG is not well-formed: {cause}")


def _character(entity: re.Match[str]) -> str:
    """Return the character reference for an HTML entity; XML's own and unknown ones stay."""
    name = entity[1]
    point = html.entities.name2codepoint.get(name)
    if point is None or name in ("amp", "lt", "gt", "quot", "apos"):
        return entity[0]
    return f"&#{point};"


def _with_namespaces(text: str) -> str:
    """Declare every used prefix on the root; declarations of inner elements stay."""
    offset = root_offset(text)
    start = _START_TAG.match(text, offset) if offset is not None else None
    if start is None:
        return text
    prefixes = dict.fromkeys(_PREFIXED.findall(text))
    missing = "".join(
        f' xmlns:{prefix}="{_NAMESPACES.get(prefix, f"urn:undeclared:{prefix}")}"'
        for prefix in prefixes
        if prefix not in ("xml", "xmlns") and not re.search(rf"\sxmlns:{prefix}\s*=", start[0])
    )
    end = start.end() - start[0].endswith("/")
    return text[:end] + missing + text[end:]


def _set_namespace(root: Element) -> None:
    """Move elements from the root's namespace, missing or misspelt, to SVG's."""
    if root.tag.startswith(SVG):
        return
    own = root.tag[: root.tag.rindex("}") + 1] if "}" in root.tag else ""
    for element in root.iter():
        if isinstance(element.tag, str):
            namespace, brace, name = element.tag.rpartition("}")
            if namespace + brace in (own, ""):
                element.tag = SVG + name


def _add_linked_styles(root: Element, text: str) -> None:
    """Add a <style> for every `<?xml-stylesheet?>` with a `data:` address.

    https://www.w3.org/TR/xml-stylesheet/
    """
    if "<?xml-stylesheet" not in text:
        return
    prolog = _COMMENT.sub("", text[: root_offset(text)])
    for position, instruction in enumerate(_LINKED.findall(prolog)):
        words = {name: html.unescape(value[1:-1]) for name, value in _WORD.findall(instruction)}
        if words.get("type", "text/css") == "text/css" and words.get("alternate") != "yes":
            style = Element(SVG + "style", {"media": words.get("media", "")})
            style.text = (content_of(words.get("href", "")) or b"").decode("utf-8", "replace")
            root.insert(position, style)


def _strip_values(root: Element) -> None:
    """Remove white space around attributes: the renderer ignores a length that ends in it."""
    for element in root.iter():
        for name, value in element.attrib.items():
            stripped = value.strip(_BLANKS)
            if stripped != value and name not in _KEPT:
                element.attrib[name] = stripped


def depth(root: Element) -> int:
    """Return how deep the tree is, at most MAX_DEPTH + 1."""
    count, level = 0, [root]
    while level and count <= MAX_DEPTH:
        count, level = count + 1, [child for element in level for child in element]
    return count


def by_id(root: Element) -> dict[str, Element]:
    """Return the elements by `id`; of several with one `id`, the first."""
    found: dict[str, Element] = {}
    for element in root.iter():
        name = element.get("id")
        if name:
            found.setdefault(name, element)
    return found


def href(element: Element) -> str:
    """Return the reference of an element, from SVG 2's `href` or XLink's; "" if it has none."""
    return next((element.get(name, "").strip() for name in HREFS if element.get(name)), "")


def expanded_elements(root: Element) -> int:
    """Count the elements after every `<use>` is replaced by its target.

    Twenty nested `<use>` pairs make a million elements of a kilobyte ("billion laughs" in SVG).
    Counting stops growing past MAX_ELEMENTS; a cycle counts once, as renderers ignore it.
    """
    ids = by_id(root)
    sizes: dict[int, int] = {}
    # Post-order walk with an explicit stack: a drawing may nest deeper than Python recurses.
    stack: list[tuple[Element, bool]] = [(root, False)]
    open_elements: set[int] = set()
    while stack:
        element, leaving = stack.pop()
        key = id(element)
        parts = list(element)
        if element.tag == SVG + "use":
            target = ids.get(href(element)[1:])
            parts += [target] if target is not None else []
        if leaving:
            open_elements.discard(key)
            sizes[key] = min(MAX_ELEMENTS + 1, 1 + sum(sizes.get(id(part), 0) for part in parts))
        elif key not in sizes and key not in open_elements:
            open_elements.add(key)
            stack.append((element, True))
            stack.extend((part, False) for part in parts)
    return sizes[id(root)]
