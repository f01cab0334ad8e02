"""Keywords in IPTC-IIM data, in the encodings that programs use.

Sources: IPTC-IIM 4.2, sections 1.5 (data sets) and 1:90 (coded character set); Photoshop File
Formats Specification, "Image Resource Blocks".
"""

import unicodedata
from collections.abc import Iterator, Sequence
from typing import Final

from hangtag.library.keywords.encodings import decoded_utf16, is_utf8

_CHARACTER_SET: Final = (1, 90)
_KEYWORD: Final = (2, 25)
# ISO 2022 escapes of 1:90 that are in use.
_ESCAPES: Final = {
    b"\x1b%G": "utf-8",
    b"\x1b%/I": "utf-8",
    b"\x1b-A": "cp1252",
    b"\x1b.A": "cp1252",
    b"\x1b-B": "iso8859-2",
    b"\x1b-L": "iso8859-5",
    b"\x1b-G": "iso8859-6",
    b"\x1b-F": "iso8859-7",
    b"\x1b-H": "iso8859-8",
    b"\x1b-M": "iso8859-9",
    b"\x1b-b": "iso8859-15",
}
# Encodings that programs use without declaring them, the likelier first.
_GUESSES: Final = ("cp1252", "mac_roman", "cp1251", "cp932", "gbk")
_RESOURCE: Final = b"8BIM"


def keyword_bytes(data: bytes) -> tuple[list[bytes], str]:
    """Return the keywords in IPTC data, and the encoding that it declares, or "".

    A data set: 0x1c, record, number, uint16 size, big-endian; a size with its highest bit set is
    the length of the size that follows. Data after a damaged set is not read.
    """
    at, found, encoding = 0, [], ""
    while data[at : at + 1] == b"\x1c":
        size, head = int.from_bytes(data[at + 3 : at + 5], "big"), 5
        if size & 0x8000:
            head += size & 0x7FFF
            size = int.from_bytes(data[at + 5 : at + min(head, 13)], "big")
        value = data[at + head : at + head + size]
        if tuple(data[at + 1 : at + 3]) == _KEYWORD:
            found.append(value.rstrip(b"\0") if is_utf8(value.rstrip(b"\0")) else value)
        elif tuple(data[at + 1 : at + 3]) == _CHARACTER_SET:
            encoding = _ESCAPES.get(value, "utf-8" if b"UTF" in value.upper() else "")
        at += head + size
    return found, encoding


def decoded(values: Sequence[bytes], encoding: str) -> list[str]:
    """Decode keywords: as declared where that is possible, as UTF-8 where it is valid.

    All others are decoded in one old encoding, in which they look most like words. A character cut
    by the limit of 64 bytes is left out.
    """
    texts = [_unicode(value, encoding) for value in values]
    old = [value for value, text in zip(values, texts, strict=True) if text is None]
    guess = _guessed(old)
    return [
        value.decode(guess, "replace") if text is None else text
        for value, text in zip(values, texts, strict=True)
    ]


def encoding_of(values: Sequence[bytes]) -> str:
    """Return the encoding of keywords that declare none: UTF-8 where all of them are valid."""
    return "utf-8" if all(map(is_utf8, values)) else _guessed(values)


def _unicode(value: bytes, encoding: str) -> str | None:
    if encoding not in ("", "utf-8"):
        return value.decode(encoding, "replace") if not is_utf8(value) else value.decode("utf-8")
    if is_utf8(value):
        return value.decode("utf-8")
    if b"\0" in value:
        return decoded_utf16(value)
    whole = value.decode("utf-8", "ignore")
    is_cut = any(is_utf8(value[:-lost]) for lost in (1, 2, 3)) and len(value) > 60
    return whole if is_cut or encoding else None


def _guessed(values: Sequence[bytes]) -> str:
    scores = {}
    for encoding in _GUESSES:
        try:
            text = " ".join(value.decode(encoding) for value in values)
        except UnicodeDecodeError:
            continue
        scores[encoding] = _oddness(text)
    return min(scores, key=lambda name: scores[name], default="cp1252")


def _oddness(text: str) -> float:
    """Return how little a text looks like words, per character beyond ASCII; 0 looks normal.

    Counted are signs, capitals after small letters, letters of two scripts side by side, and Latin
    letters with accents in a row.
    """
    odd = beyond = 0.0
    for before, sign in zip(" " + text, text, strict=False):
        if sign.isascii() and before.isascii():
            continue
        beyond += not sign.isascii()
        script, other = _script(sign), _script(before)
        if not sign.isascii() and not script and not unicodedata.category(sign).startswith("P"):
            odd += 1
        if script and other and script != other:
            odd += 1
        if sign.isupper() and before.islower():
            odd += 1
        if script == other == "LATIN" and not sign.isascii() and not before.isascii():
            odd += 0.6
        if (
            script == "HALFWIDTH"
        ):  # one byte each in Shift_JIS, as which any Latin-1 text can be read
            odd += 1
    return odd / max(beyond, 1)


def _script(sign: str) -> str:
    """Return the script of a letter by the first word of its name ("" for other characters)."""
    if not unicodedata.category(sign).startswith(("L", "M")):
        return ""
    script = unicodedata.name(sign, "").partition(" ")[0]
    return "CJK" if script in ("HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA") else script


def photoshop_resources(data: bytes) -> Iterator[tuple[int, bytes, bool]]:
    """Yield the image resources that Photoshop writes into JPEG, TIFF and PNG: id, data, whether
    the data is whole.

    A resource: "8BIM", uint16 id, length-prefixed name of even length, uint32 size, data of even
    length. After damage, reading continues at the next "8BIM".
    """
    at = data.find(_RESOURCE)
    while at >= 0:
        number = int.from_bytes(data[at + 4 : at + 6], "big")
        head = at + 6 + (data[at + 6] + 2) // 2 * 2 if len(data) > at + 6 else len(data)
        size = int.from_bytes(data[head : head + 4], "big")
        end = head + 4 + size
        yield number, data[head + 4 : end], end <= len(data)
        at = data.find(_RESOURCE, end if end <= len(data) else at + 4)
