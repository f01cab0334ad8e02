"""IPTC-IIM in Photoshop's image resources, and the digest by which readers know whether it changed.

Sources: Photoshop File Formats Specification, "Image Resource Blocks"; MWG guidelines 2.0, 3.3.
"""

import hashlib
from collections.abc import Iterator
from typing import Final

_IIM, _DIGEST = 0x0404, 0x0425
_SIGNATURE: Final = b"8BIM"


def iim(block: bytes) -> bytes | None:
    """Return the IIM data of image resources, None for none. Raises ValueError for two."""
    found = [block[start:end] for number, start, end in _resources(block) if number == _IIM]
    if len(found) > 1:
        raise ValueError("it has IPTC twice")
    return found[0] if found else None


def with_iim(block: bytes, data: bytes) -> bytes:
    """Return image resources with other IIM data in place of the old, and its digest if there."""
    parts, at = [], 0
    old = iim(block) or b""
    for number, start, end in _resources(block):
        if number == _IIM:
            new = data
        elif number == _DIGEST and block[start:end] == hashlib.md5(old).digest():
            new = hashlib.md5(data).digest()  # the format's own choice, no secret
        else:
            continue
        padded_end = min(end + (end - start) % 2, len(block))
        size = len(new).to_bytes(4, "big")
        parts += [block[at : start - 4], size, new, b"\0" * (len(new) % 2)]
        at = padded_end
    return b"".join([*parts, block[at:]])


def _resources(block: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield number, start and end of the data of each resource. Raises ValueError for damage."""
    at = 0
    while at < len(block):
        if block[at : at + 4] != _SIGNATURE:
            if block[at:].strip(b"\0"):
                raise ValueError("damaged Photoshop resources")
            return
        if at + 7 > len(block):
            raise ValueError("damaged Photoshop resources")
        number = int.from_bytes(block[at + 4 : at + 6], "big")
        head = at + 6 + (block[at + 6] + 2) // 2 * 2
        start = head + 4
        end = start + int.from_bytes(block[head:start], "big")
        if end > len(block):
            raise ValueError("damaged Photoshop resources")
        yield number, start, end
        at = end + (end - start) % 2
