"""Copies of keywords, cut off, joined or garbled when a program wrote them into an older block.

Programs write the keywords of XMP into IPTC and EXIF as well. IPTC-IIM allows 64 bytes per keyword
and seldom declares its encoding, so a keyword read from there is often a damaged copy.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final

from hangtag.library.rules import normalise_tag

# A copy is cut at 64 bytes, or at 64 characters; a few may be lost with the last character.
_SHORTEST_CUT: Final = 58
_SEPARATORS: Final = re.compile(rb"[,;|\r\n]")
_ENCODINGS: Final = (
    *("utf-8", "cp1252", "latin-1", "mac_roman", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255"),
    *("cp1256", "cp1257", "cp1258", "iso8859-2", "iso8859-5", "iso8859-7", "iso8859-9"),
    *("iso8859-15", "koi8-r", "koi8-u", "mac_cyrillic", "mac_latin2", "mac_greek", "mac_turkish"),
    *("cp437", "cp850", "cp852", "cp866", "cp874", "cp932", "euc_jp", "gbk", "gb18030", "big5"),
    *("cp949", "utf-16-le", "utf-16-be", "utf-7"),
)
# Encodings that bytes of another one are misread as before they are written again, as UTF-8.
_MISREAD: Final = ("latin-1", "cp1252", "mac_roman", "cp1251", "cp1250", "cp437", "cp850", "cp932")


class Copies:
    """Distinguishes copies of some keywords from keywords in their own right."""

    def __init__(self, originals: Iterable[str]) -> None:
        self._originals = [text for text in dict.fromkeys(originals) if text.strip()]
        self._names = {normalise_tag(text) for text in self._originals}
        if (
            len(self._originals) > 2
        ):  # two with a blank between are a keyword of their own: `red cat`
            self._names.add(normalise_tag(" ".join(self._originals)))

    def without(self, value: bytes, text: str) -> list[str]:
        """Return what a keyword, as bytes and decoded, adds to the originals.

        Usually that is nothing, or `text`. Of joined keywords with copies among them, the others
        are returned.
        """
        if self.has(value, text):
            return []
        parts, texts = _SEPARATORS.split(value), re.split(_SEPARATORS.pattern.decode(), text)
        if len(parts) < 2 or len(parts) != len(texts):
            return [text]
        new = [at for at, part in enumerate(parts) if not self.has(part, texts[at])]
        last = len(parts) - 1
        if last in new and len(value) >= _SHORTEST_CUT and self._begins_one(parts[last]):
            new.remove(last)
        is_joined = not new or len(parts) - len(new) > 1
        return [texts[at].strip() for at in new] if is_joined else [text]

    def has(self, value: bytes, text: str) -> bool:
        """Return whether a keyword is a copy of an original, whole, cut off or garbled."""
        value = value.strip()
        if not value or normalise_tag(text) in self._names:
            return True
        if text.isascii() and text.isprintable() and "?" not in text and len(text) < _SHORTEST_CUT:
            return any(_plain(original) == text.strip() for original in self._originals)
        return any(_is_copy(value, text.strip(), original) for original in self._originals)

    def _begins_one(self, value: bytes) -> bool:
        value = value.strip()
        return any(
            form.startswith(value) for original in self._originals for form in _forms(original)
        )


def _is_copy(value: bytes, text: str, original: str) -> bool:
    # Written by decoders in place of a character that was cut.
    whole = re.sub(rb"(\?|\xef\xbf\xbd|\.\.\.)+$", b"", value) or value
    for form in _forms(original):
        if value == form or (len(whole) >= _SHORTEST_CUT and form.startswith(whole)):
            return True
    return any(_has_gaps_like(text, form) for form in (original, _plain(original)))


def _has_gaps_like(text: str, original: str) -> bool:
    """Return whether `text` is `original` with `?` or U+FFFD for characters beyond ASCII."""
    if "?" not in text and "\ufffd" not in text:
        return False
    pieces = re.split("([?\ufffd]+)", text)
    pattern = "".join(
        f"(?:[^\\x00-\\x7f]|[?]){{1,{len(piece)}}}" if number % 2 else re.escape(piece)
        for number, piece in enumerate(pieces)
    )
    end = "" if len(text.encode()) >= _SHORTEST_CUT else r"\Z"
    return re.match(pattern + end, original, re.IGNORECASE) is not None


@lru_cache(maxsize=4096)
def _forms(original: str) -> frozenset[bytes]:
    """Return the bytes that programs make of a keyword."""
    return frozenset(_all_forms(original))


def _all_forms(original: str) -> Iterator[bytes]:
    for normal_form in ("NFC", "NFD"):
        text = unicodedata.normalize(normal_form, original.strip())
        yield text.encode("utf-8", "replace")
        if text.isascii():
            return
        for encoding in _ENCODINGS:
            data = text.encode(encoding, "replace")
            yield data
            for wrong in _MISREAD:
                misread = data.decode(wrong, "replace")
                yield misread.encode()
                yield misread.encode("cp1252", "replace")
    yield _plain(original).encode()


def _plain(text: str) -> str:
    """Return a text in ASCII: accents left out, other characters as `?`."""
    parts = unicodedata.normalize("NFKD", text.strip())
    kept = "".join(sign for sign in parts if not unicodedata.combining(sign))
    return kept.encode("ascii", "replace").decode()
