"""Encodings of other programs' files: byte-order marks, and XML declarations that are wrong."""

import codecs
import re
from typing import Final, NamedTuple

import webencodings

from hangtag.storage.byte_order_marks import byte_order_mark

_DECLARATION: Final = re.compile(
    rb"""\s*<\?xml\b[^>]*?\bencoding\s*=\s*["']\s*([A-Za-z][\w.:-]*)\s*["']"""
)
_WIDE: Final = re.compile(r"utf[-_]?(16|32)|ucs[-_]?\d|iso-10646|unicode$", re.IGNORECASE)
# Names that the WHATWG standard lacks, such as code pages of DOS.
_CODE_PAGE: Final = re.compile(r"(cp|ibm|iso|latin|mac)[\w-]*", re.IGNORECASE)
_SEVERAL_BYTES: Final = re.compile(r"gb|big5|euc|cp932|cp949|cp950|shift|iso2022|hz|johab")


class Decoded(NamedTuple):
    """A text and its source: `mark` + text in `encoding` gives the bytes again."""

    text: str
    encoding: str
    mark: bytes
    agrees: bool
    """Whether a declaration, if any, names a Unicode encoding: under any other, characters beyond
    ASCII must be written as references (`&#233;`)."""

    def encode(self, text: str) -> bytes:
        """Return another text as bytes of the same kind. Raises UnicodeEncodeError."""
        return self.mark + text.encode(self.encoding)


def decoded_xml(data: bytes) -> Decoded:
    """Decode XML by its actual encoding, not the declared one.

    A byte-order mark or the zeros of UTF-16 and UTF-32 come before the declaration, which .NET and
    MSXML write as `utf-16` into files in UTF-8. Valid UTF-8 comes before a declared encoding of one
    byte per character (often an editor's default). Raises ValueError (UnicodeDecodeError) and,
    for an unknown encoding, LookupError.

    Source: XML 1.0, appendix F; the names of encodings are those of the WHATWG Encoding Standard.
    """
    mark, encoding = _marked(data)
    declared_as = "utf-8"
    if not encoding:
        declared = _DECLARATION.match(data)
        declared_as = encoding = _declared(declared[1].decode("ascii")) if declared else "utf-8"
        if encoding != "utf-8" and not _SEVERAL_BYTES.match(encoding) and is_utf8(data):
            encoding = "utf-8"
    return Decoded(data[len(mark) :].decode(encoding), encoding, mark, declared_as == "utf-8")


def decoded_text(data: bytes) -> str:
    """Decode plain text: UTF-8, or UTF-16 and UTF-32 by their mark or their zeros.

    Raises UnicodeDecodeError for anything else: code pages cannot be distinguished.
    """
    mark, encoding = _marked(data)
    return data[len(mark) :].decode(encoding or "utf-8").replace("\0", "")


def decoded_utf16(data: bytes) -> str:
    """Decode the text of an EXIF tag of Windows: UTF-16-LE, ended by a zero.

    Some programs write ASCII with one zero or none, others the other byte order.
    """
    text = data.rstrip(b"\0")
    if len(data) - len(text) < 2 and re.fullmatch(rb"[\w ;,.'&()-]{3,}", text):
        return text.decode("ascii")
    encoding = "utf-16-be" if re.match(rb"\0[^\0]\0[^\0]|\xfe\xff", data) else "utf-16-le"
    whole = data[: len(data) // 2 * 2]
    return whole.decode(encoding, "replace").strip("\0\ufeff").replace("\0", ";")


def is_utf8(data: bytes) -> bool:
    """Return whether bytes are valid UTF-8 text, without zeros."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return b"\0" not in data


def _marked(data: bytes) -> tuple[bytes, str]:
    """Return the byte-order mark and the encoding shown by it or by zeros, or ""."""
    mark, encoding = byte_order_mark(data)
    if mark:
        return mark, encoding
    zeros = tuple(byte == 0 for byte in data[:4])
    match zeros:
        case (False, True, True, True):
            return b"", "utf-32-le"
        case (True, True, True, False):
            return b"", "utf-32-be"
        case (False, True, *_):
            return b"", "utf-16-le"
        case (True, False, *_):
            return b"", "utf-16-be"
    return b"", ""


def _declared(label: str) -> str:
    """Return the codec of a declared encoding; a declaration readable as ASCII rules out UTF-16."""
    if _WIDE.match(label):
        return "utf-8"
    if (known := webencodings.lookup(label)) is not None:
        return str(known.codec_info.name)
    if _CODE_PAGE.fullmatch(label):
        return codecs.lookup(label).name
    raise LookupError(f"unknown encoding: {label}")
