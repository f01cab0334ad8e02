"""The images of a multipart form, with their file names.

RFC 7578, and what clients send beyond it: names encoded as in RFC 8187 (`filename*`), RFC 2047
(.NET) or the HTML standard (`%22`), raw UTF-8 or Latin-1, whole Windows paths. python-multipart
parses the form, the standard library's `email` the headers of its parts.
"""

import binascii
import codecs
import re
from base64 import b64decode
from collections.abc import AsyncIterable
from dataclasses import dataclass, field
from email.header import decode_header
from email.message import Message
from typing import TYPE_CHECKING, Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser

from hangtag.service.errors import ApiError
from hangtag.service.media_types import media_type, parameter

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

FORM: Final = "multipart/form-data"
# The content decides the format; the header only declares that it is an image.
IMAGE_TYPES: Final = ("application/x-image", "application/octet-stream")
NAMELESS: Final = "image"
# Any other declared charset is taken for UTF-8: some of Python's codecs are not charsets.
_CHARSETS: Final = frozenset(
    {
        "utf-8", "ascii", "iso8859-1", "iso8859-2", "iso8859-15", "cp1250", "cp1251", "cp1252",
        "koi8-r", "shift_jis", "cp932", "euc_jp", "iso2022_jp", "gb2312", "gbk", "gb18030", "big5",
        "euc_kr", "cp949",
    }
)  # fmt: skip
# https://html.spec.whatwg.org/multipage/form-control-infrastructure.html#multipart-form-data
_ESCAPED: Final = {"%22": '"', "%0D": "\r", "%0A": "\n"}
_WINDOWS_PATH: Final = re.compile(r"(?:[A-Za-z]:[\\/]|\\)(?:.*[\\/])?", re.DOTALL)
_LONGEST_PREAMBLE: Final = 64 * 1024  # bytes


def is_image_type(kind: str) -> bool:
    """Return whether a media type, in lower case, may be that of an image."""
    return kind.startswith("image/") or kind in IMAGE_TYPES


async def read_uploads(
    content_type: str, body: AsyncIterable[bytes], most: int
) -> list[tuple[str, bytes]]:
    """Return the name and the bytes of every image of a form, in order.

    An image is a part with a file name or an image's content type; other fields are ignored. Raises
    ApiError for a malformed form, and for one without images or with more than `most`.
    """
    boundary = parameter(content_type, "boundary")
    if not boundary:
        raise _wrong("Content-Type has no boundary")
    form = _Form(most)
    try:
        parser = MultipartParser(boundary.encode("utf-8", "replace"), form.callbacks())
        async for data in _from_boundary(body, boundary.encode("utf-8", "replace")):
            parser.write(data)
        parser.finalize()
    except FormParserError as error:
        raise _wrong(f"the form cannot be read: {error}") from error
    if not form.complete:
        raise _wrong("the form ends before its last boundary")
    if not form.images:
        raise ApiError(
            400, "no-image",
            "send the images as files of a multipart form: parts with a file name",
        )  # fmt: skip
    return form.images


async def _from_boundary(body: AsyncIterable[bytes], boundary: bytes) -> AsyncIterable[bytes]:
    """Yield a body from its first boundary: a preamble may precede it (RFC 2046, 5.1.1)."""
    start, held, begun = b"--" + boundary, b"", False
    async for data in body:
        if begun:
            yield data
            continue
        held += data
        begin = 0 if held.startswith(start) else held.find(b"\n" + start) + 1
        if begin or held.startswith(start):
            begun = True
            yield held[begin:]
        elif len(held) > _LONGEST_PREAMBLE:
            raise _wrong("the form does not begin with its boundary")
    if not begun:
        raise _wrong("the form does not contain the boundary that Content-Type declares")


@dataclass
class _Part:
    headers: Message = field(default_factory=Message)
    content: list[bytes] = field(default_factory=list)
    name: str | None = None  # of the image; None for another field


class _Form:
    """The callbacks of python-multipart; collects the images."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.images: list[tuple[str, bytes]] = []
        self.complete = False
        self._part = _Part()
        self._field = self._value = b""

    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._data,
            "on_part_end": self._part_end,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        self._part = _Part()

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        # Latin-1 keeps every byte; `_text` decodes the bytes of a file name.
        name, value = self._field.decode("latin-1"), self._value.decode("latin-1")
        self._part.headers[name] = value
        self._field = self._value = b""

    def _headers_finished(self) -> None:
        headers = self._part.headers
        name = _file_name(headers)
        if name is None and is_image_type(media_type(headers["content-type"])):
            name = ""
        self._part.name = name

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._part.name is not None:
            self._part.content.append(data[start:end])

    def _part_end(self) -> None:
        part = self._part
        if part.name is None:
            return
        data = _transferred(b"".join(part.content), part.headers)
        if not data and not part.name:
            return  # a form's file field in which no file was chosen
        if len(self.images) == self.most:
            raise _wrong(f"a request may have at most {self.most} images")
        self.images.append((part.name or NAMELESS, data))

    def _end(self) -> None:
        self.complete = True


def _transferred(data: bytes, headers: Message) -> bytes:
    """Decode a Content-Transfer-Encoding: not in RFC 7578, but mail libraries write it."""
    encoding = (headers["content-transfer-encoding"] or "").strip().lower()
    try:
        if encoding == "base64":
            return b64decode(data)
        return binascii.a2b_qp(data) if encoding == "quoted-printable" else data
    except binascii.Error as cause:
        raise _wrong(f"a part is not valid {encoding}: {cause}") from cause


def _file_name(headers: Message) -> str | None:
    """Return a part's file name; `filename*` takes precedence (RFC 6266, section 4.3)."""
    name = None
    for key, value in headers.get_params(failobj=[], header="content-disposition"):
        if key.lower() != "filename":
            continue
        if isinstance(value, tuple):  # charset, language, text: RFC 8187
            return _without_folders(_text(value[2], value[0] or ""))
        name = name or value
    if name is None:
        return None
    text = _unescaped(_text(name, "utf-8"))
    return _without_folders(_encoded_words(text))


def _text(latin: str, charset: str) -> str:
    """Decode bytes that are given as Latin-1: in their charset, else as UTF-8, else as Latin-1."""
    try:
        raw = latin.encode("latin-1")
    except UnicodeEncodeError:  # it is text already
        return latin
    try:
        declared = codecs.lookup(charset).name
    except (LookupError, ValueError):
        declared = "utf-8"
    for known in (declared, "utf-8") if declared in _CHARSETS else ("utf-8",):
        try:
            return raw.decode(known)
        except UnicodeDecodeError:
            continue
    return latin


def _encoded_words(text: str) -> str:
    """Decode `=?UTF-8?B?...?=` (RFC 2047), which .NET writes for names that are not ASCII."""
    if "=?" not in text or not text.isascii():
        return text
    try:
        return "".join(
            _text(part.decode("latin-1"), charset or "utf-8") if isinstance(part, bytes) else part
            for part, charset in decode_header(text)
        )
    except ValueError:  # only looks encoded
        return text


def _unescaped(name: str) -> str:
    for code, sign in _ESCAPED.items():
        name = name.replace(code, sign)
    return name


def _without_folders(name: str) -> str:
    r"""Return the file name of a Windows path (`C:\fakepath\a.png`); other names stay."""
    found = _WINDOWS_PATH.match(name)
    return name[found.end() :] if found else name


def _wrong(message: str) -> ApiError:
    return ApiError(400, "multipart", message)
