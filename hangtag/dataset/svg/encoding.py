"""SVG bytes -> text: gzip, byte order marks, declared and wrongly declared encodings.

A browser trusts the byte order mark, then bytes that are typical of UTF-16, then the declaration
with the labels of https://encoding.spec.whatwg.org/#names-and-labels. As in a browser, undecodable
bytes become U+FFFD: a wrong byte in a title does not spoil a drawing.
"""

import codecs
import re
import zlib
from typing import Final

import webencodings

from hangtag.errors import ImageError
from hangtag.storage.byte_order_marks import byte_order_mark

MAX_BYTES: Final = 32 * 2**20
_GZIP: Final = b"\x1f\x8b"
_MAX_MEMBERS: Final = 4096  # of a gzip file
_CHUNK: Final = 2**16
_HEAD_BYTES: Final = 2**16
# "<" followed by another ASCII character, or white space before it, without a mark.
_UNMARKED: Final = (
    (re.compile(rb"[<\s]\0\0\0[\0-\x7f]\0\0\0", re.DOTALL), "utf-32-le"),
    (re.compile(rb"\0\0\0[<\s]\0\0\0", re.DOTALL), "utf-32-be"),
    (re.compile(rb"[<\s]\0[\x01-\x7f]\0", re.DOTALL), "utf-16-le"),
    (re.compile(rb"\0[<\s]\0[\x01-\x7f]", re.DOTALL), "utf-16-be"),
)
_DECLARED: Final = re.compile(rb"""\s*<\?xml[^>]*?\sencoding\s*=\s*["']([\w.:+-]+)["']""")
_DECLARATION: Final = re.compile(r"\s*<\?xml(?:\s[^>]*?)?\?>")
_NO_TEXT: Final = ("utf-7", "idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined")
# What may precede the root: white space, comments, processing instructions, a doctype.
_BEFORE_ROOT: Final = re.compile(
    r"""\s+|<!--.*?-->|<\?.*?\?>
    |<!DOCTYPE(?:[^\["'>]|"[^"]*"|'[^']*')*+
       (?:\[(?>[^\]"'<]|"[^"]*"|'[^']*'|<!--.*?-->|<\?.*?\?>
              |<!(?!--)(?:[^"'>]|"[^"]*"|'[^']*')*+>)*+\]\s*)?>""",
    re.DOTALL | re.VERBOSE | re.IGNORECASE,
)
_ROOT: Final = re.compile(r"<(?:[^\W\d][\w.-]*:)?svg(?=[\s/>])")


def is_svg(data: bytes) -> bool:
    """Return whether `data` is an SVG document, gzipped (`.svgz`) or not, in any encoding.

    The root element decides, whatever precedes it: an HTML page with a drawing in it is not SVG.
    """
    if data.startswith(_GZIP):
        try:
            return _starts_svg(_inflate(data, _HEAD_BYTES)) or _starts_svg(gunzip(data))
        except ImageError as error:
            return error.reason == "truncated" and _starts_svg(_inflate(data, _HEAD_BYTES))
    return _starts_svg(data)


def gunzip(data: bytes) -> bytes:
    """Return the document of a `.svgz`, or `data` itself. Raises ImageError over MAX_BYTES."""
    if data.startswith(_GZIP):
        try:
            data = _members(data)
        except zlib.error as cause:
            raise ImageError("truncated", f"compressed SVG is damaged: {cause}") from cause
    if len(data) > MAX_BYTES:
        raise ImageError("too-large", f"SVG of over {MAX_BYTES // 2**20} MiB")
    return data


def _members(data: bytes) -> bytes:
    """Inflate every member of a gzip file, up to MAX_BYTES + 1; what follows them is ignored."""
    whole, start = bytearray(), 0
    for _ in range(_MAX_MEMBERS):
        inflater = zlib.decompressobj(wbits=31)
        while not inflater.eof and len(whole) <= MAX_BYTES:
            chunk = data[start : start + _CHUNK]
            if not chunk:
                raise ImageError("truncated", "compressed SVG is damaged: it ends early")
            whole += inflater.decompress(chunk, MAX_BYTES + 1 - len(whole))
            start += len(chunk) - len(inflater.unused_data)
        if len(whole) > MAX_BYTES or not data.startswith(_GZIP, start):
            break
    return bytes(whole)


def text_of(data: bytes) -> str:
    """Decode an XML document; remove its declaration, which may name another encoding."""
    encoding, skipped = _encoding(data)
    try:
        text = data[skipped:].decode(encoding, "replace")
    except (UnicodeError, LookupError):  # a codec that cannot replace
        text = data[skipped:].decode("utf-8", "replace")
    declaration = _DECLARATION.match(text)
    return (text[declaration.end() :] if declaration else text).lstrip("\ufeff \t\r\n")


def root_offset(text: str) -> int | None:
    """Return where the root element begins if it is an <svg>, else None."""
    offset = _before_root(text)
    return offset if _ROOT.match(text, offset) else None


def _before_root(text: str) -> int:
    offset = 0
    while found := _BEFORE_ROOT.match(text, offset):
        offset = found.end()
    return offset


def _starts_svg(data: bytes) -> bool:
    if b"svg" not in data.replace(b"\0", b""):
        return False
    head = text_of(data[:_HEAD_BYTES])
    offset = _before_root(head)
    if _ROOT.match(head, offset):
        return True
    # A long comment, or a name that the end of the head cuts.
    unfinished = head.startswith(("<!", "<?"), offset) or "<" not in head[offset:-64]
    return unfinished and len(data) > _HEAD_BYTES and root_offset(text_of(data)) is not None


def _inflate(data: bytes, limit: int) -> bytes:
    try:
        return zlib.decompressobj(wbits=31).decompress(data, limit)
    except zlib.error:
        return b""


def _encoding(data: bytes) -> tuple[str, int]:
    """Return the encoding and the length of the byte order mark."""
    mark, encoding = byte_order_mark(data)
    if mark:
        return encoding, len(mark)
    for start, name in _UNMARKED:
        if start.match(data):
            return name, 0
    declared = _DECLARED.match(data[:1024])
    return (_codec(declared[1].decode("ascii", "replace")) if declared else "utf-8"), 0


def _codec(label: str) -> str:
    """Return Python's codec for a declared encoding; UTF-8 for unknown ones.

    The declaration was read as ASCII, so UTF-16 and similar encodings cannot be right.
    """
    known = webencodings.lookup(label)
    try:
        codec = known.codec_info if known else codecs.lookup(label)
    except LookupError:
        return "utf-8"
    # Codecs that do not keep ASCII (UTF-16, EBCDIC), or do not encode text.
    if codec.name in _NO_TEXT or not _keeps_ascii(codec.name):
        return "utf-8"
    return codec.name


def _keeps_ascii(name: str) -> bool:
    try:
        return b"<svg>".decode(name) == "<svg>"
    except (UnicodeError, LookupError):
        return False
