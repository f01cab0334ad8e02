"""Contents of `data:` addresses, read as leniently as browsers do, or more."""

import base64
import binascii
import re
from typing import Final
from urllib.parse import unquote_to_bytes

_URL_SAFE: Final = bytes.maketrans(b"-_", b"+/")
_ADDRESS: Final = re.compile(r"data:([^,]*),(.*)", re.I | re.S)
_ENDS_DRAWING: Final = re.compile(rb"(?:</(?:\w+:)?svg\s*|/)>\s*$", re.I)


def content_of(reference: str) -> bytes | None:
    """Return the bytes of a `data:` address, read as leniently as browsers do, or more; else None.

    https://fetch.spec.whatwg.org/#data-urls and https://infra.spec.whatwg.org/#forgiving-base64
    """
    found = _ADDRESS.fullmatch(reference)
    if not found:
        return None
    words = [word.strip().lower() for word in found[1].split(";")]
    body, hash_sign, _ = found[2].partition("#")
    if "base64" not in words:
        # A fragment ends the address, but many drawings have colours with an unescaped "#".
        whole = hash_sign and not _ENDS_DRAWING.search(unquote_to_bytes(body))
        return unquote_to_bytes(found[2] if whole else body)
    letters = re.sub(rb"[^A-Za-z0-9+/]", b"", unquote_to_bytes(body).translate(_URL_SAFE))
    letters = letters[: len(letters) - (len(letters) % 4 == 1)]
    try:
        return base64.b64decode(letters + b"=" * (-len(letters) % 4))
    except binascii.Error:
        return None
