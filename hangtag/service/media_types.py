"""Media types, compared as in HTTP: case-insensitive, without their parameters.

RFC 9110, sections 8.3.1 (Content-Type) and 12.5.1 (Accept).
"""

from collections.abc import Sequence
from email.message import Message
from urllib.request import parse_http_list


def media_type(header: str | None) -> str:
    """Return the media type of a Content-Type in lower case, without parameters; "" for none."""
    return (header or "").partition(";")[0].strip().lower()


def parameter(header: str, name: str) -> str | None:
    """Return a parameter of a Content-Type by its name, in any case; None without one."""
    message = Message()
    message["content-type"] = header
    found = message.get_param(name)
    return found if isinstance(found, str) else None  # RFC 2231's three parts: not in HTTP


def preferred(accept: str, offered: Sequence[str]) -> str:
    """Return the offered media type that an Accept header prefers.

    The highest quality wins, then the most specific range, then the one named first. Where none is
    acceptable, return the first one offered: RFC 9110 leaves that to the server, and SageMaker's
    clients send all sorts of types.
    """
    best, choice = (0.0, 0, 0), offered[0]
    ranges = [_range(item) for item in parse_http_list(accept)]
    for kind in offered:
        matches = [
            (specific, quality, -position)
            for position, (name, quality) in enumerate(ranges)
            if (specific := _specificity(name, kind))
        ]
        if not matches:
            continue
        specific, quality, position = max(matches)  # the most specific range applies
        if quality > 0 and (quality, specific, position) > best:
            best, choice = (quality, specific, position), kind
    return choice if best[0] else offered[0]


def _range(item: str) -> tuple[str, float]:
    """Return a media range and its quality, 0 to 1; an unreadable quality counts as 1."""
    name, *parameters = item.split(";")
    quality = 1.0
    for text in parameters:
        key, _, value = text.partition("=")
        if key.strip().lower() == "q":
            try:
                quality = min(1.0, max(0.0, float(value)))
            except ValueError:
                quality = 1.0
    return name.strip().lower(), quality


def _specificity(name: str, kind: str) -> int:
    """Return 3 for the type itself, 2 for `type/*`, 1 for `*/*`, 0 for another."""
    if name == kind:
        return 3
    if name == f"{kind.partition('/')[0]}/*":
        return 2
    return 1 if name == "*/*" else 0
