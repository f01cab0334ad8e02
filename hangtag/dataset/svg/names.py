"""Names in references: any `id`, quoted, escaped or percent-encoded -> one that the renderer reads.

The renderer's references end at a blank, a quote or a bracket, and are not percent-decoded.
"""

import re
from typing import Final
from urllib.parse import unquote, unquote_to_bytes

from hangtag.dataset.svg.tree import HREFS, Element

_PLAIN: Final = re.compile(r"[\w.-]*")
_PREFIX: Final = "hangtag-name-"


def plain(name: str) -> str:
    """Return a name that stands for `name` in references, the same one every time."""
    if _PLAIN.fullmatch(name):
        return name
    return _PREFIX + name.encode("utf-8", "surrogatepass").hex()


def decoded(fragment: str) -> str:
    """Percent-decode the `id` of a reference, as UTF-8 or else as Latin-1."""
    try:
        return unquote(fragment, errors="strict")
    except UnicodeDecodeError:
        return unquote_to_bytes(fragment).decode("latin-1")


def decode_hrefs(root: Element) -> None:
    """Percent-decode the references `#id` of a document; those of properties are decoded later."""
    for element in root.iter():
        for name in HREFS:
            value = element.get(name, "")
            if value.startswith("#") and "%" in value:
                element.set(name, "#" + decoded(value[1:]))


def rename(root: Element) -> None:
    """Replace every `id`, and the hrefs to it, by its plain name, as properties already do."""
    for element in root.iter():
        if "id" in element.attrib:
            element.attrib["id"] = plain(element.attrib["id"])
        for name in HREFS:
            value = element.get(name, "")
            if value.startswith("#"):
                element.set(name, "#" + plain(value[1:]))
