"""The text that an SVG writes: what its <text> elements show, read from its XML."""

import re
from typing import Final

from hangtag.dataset.svg import tree
from hangtag.dataset.svg.encoding import gunzip, text_of

# Elements whose content is drawn nowhere, or only where another element refers to it.
_UNSEEN: Final = frozenset({"defs", "clipPath", "mask", "metadata", "title", "desc", "style"})
_HIDDEN: Final = re.compile(r"(?:display\s*:\s*none|visibility\s*:\s*(?:hidden|collapse))")


def written_text(data: bytes) -> list[str]:
    """Return the text of every <text> that is shown, in the order of the document.

    Empty for a drawing whose letters are paths. Raises ImageError.
    """
    found: list[str] = []
    waiting = [tree.parse(text_of(gunzip(data)))]
    while waiting:
        element = waiting.pop()
        if not isinstance(element.tag, str) or _is_unseen(element):
            continue
        if element.tag == tree.SVG + "text":
            text = " ".join("".join(element.itertext()).split())
            if text:
                found.append(text)
        else:
            waiting.extend(reversed(element))
    return found


def _is_unseen(element: tree.Element) -> bool:
    return (
        element.tag.rpartition("}")[2] in _UNSEEN
        or element.get("display") == "none"
        or element.get("visibility") in ("hidden", "collapse")
        or _HIDDEN.search(element.get("style", "")) is not None
    )
