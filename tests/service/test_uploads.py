"""Multipart forms as clients write them: every image comes out under its own name."""

import asyncio
import base64
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from hangtag.service.errors import ApiError
from hangtag.service.uploads import read_uploads

PNG = b"\x89PNG\r\n\x1a\n--XYZ\r\n\r\n--\0\xff"  # whatever an image holds is no boundary


def part(*headers: str | bytes, body: bytes = PNG, boundary: str = "XYZ") -> bytes:
    lines = [line if isinstance(line, bytes) else line.encode() for line in headers]
    return b"\r\n".join((f"--{boundary}".encode(), *lines, b"", body)) + b"\r\n"


def image(parameters: str | bytes, *headers: str, body: bytes = PNG) -> bytes:
    given = parameters if isinstance(parameters, bytes) else parameters.encode()
    return part(
        b'Content-Disposition: form-data; name="image"; ' + given,
        "Content-Type: image/png", *headers, body=body,
    )  # fmt: skip


def read(
    *parts: bytes,
    kind: str = "multipart/form-data; boundary=XYZ",
    end: bytes = b"--XYZ--\r\n",
    step: int = 10**6,
    most: int = 64,
) -> list[tuple[str, bytes]]:
    body = b"".join(parts) + end

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), step):
            yield body[start : start + step]

    async def main() -> list[tuple[str, bytes]]:
        return await read_uploads(kind, pieces(), most)

    # In a thread of its own: in this one the browser of other tests may have a loop running.
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(main())).result()


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        # RFC 8187, as urllib3 1.x, Java and Go write it
        ("filename*=UTF-8''%E6%9D%B1%E4%BA%AC.png", "東京.png"),
        ("filename*=utf-8'ja'%e6%9d%b1.png", "東.png"),
        ("filename*=\"UTF-8''%E6%9D%B1.png\"", "東.png"),
        ("filename*=ISO-8859-1''caf%E9.png", "café.png"),
        ("filename*=Shift_JIS''%93%8C.png", "東.png"),
        ("filename*=unicode_escape''a%5Cud800.png", "a\\ud800.png"),  # no charset of text
        ("filename*=nonsense''%E6%9D%B1.png", "東.png"),
        ("filename*=UTF-8''a%2Bb%20c%3B.png", "a+b c;.png"),
        ("filename*=UTF-8''100%.png", "100%.png"),
        ("FileName*=UTF-8''%E6%9D%B1.png", "東.png"),
        # both, in either order: filename* holds (RFC 6266)
        ("filename=\"t.png\"; filename*=UTF-8''%E6%9D%B1.png", "東.png"),
        ("filename*=UTF-8''%E6%9D%B1.png; filename=\"t.png\"", "東.png"),
        # .NET: an encoded word, alone or beside filename*
        ('filename="=?utf-8?B?5p2xLnBuZw==?="', "東.png"),
        ('filename="=?utf-8?B?5p2xLnBuZw==?="; filename*=utf-8\'\'%E6%9D%B1.png', "東.png"),
        ('filename="=?what?.png"', "=?what?.png"),
        # continuations (RFC 2231), as mail libraries write long names
        ('filename*0="a long "; filename*1="name.png"', "a long name.png"),
        ("filename*0*=UTF-8''%E6%9D; filename*1*=%B1.png", "東.png"),
        # raw bytes, as browsers and curl write them
        ('filename="東京.png"', "東京.png"),
        ('filename="Ünïcode 🎈.png"', "Ünïcode 🎈.png"),
        ("filename=東.png", "東.png"),
        (b'filename="caf\xe9.png"', "café.png"),
        # quotes, separators and blanks inside
        (r'filename="a;b\"c.png"', 'a;b"c.png'),
        ('filename="a%22b.png"', 'a"b.png'),
        ('filename="a%0D%0Ab.png"', "a\r\nb.png"),
        ('filename="50%25.png"', "50%25.png"),
        (r'filename="a\\b.png"', r"a\b.png"),
        ("filename=my heart.png", "my heart.png"),
        ('filename = "a.png"', "a.png"),
        ('FILENAME="a.png"', "a.png"),
        ('filename="it\'s = a name.png"', "it's = a name.png"),
        # whole paths: Windows' are cut as by every server, folders below the client's stay
        (r'filename="C:\fakepath\a.png"', "a.png"),
        (r'filename="C:\a.png"', "a.png"),
        (r'filename="C:\\designs\\a.png"', "a.png"),
        (r'filename="\\server\share\a.png"', "a.png"),
        ('filename="icons/heart.png"', "icons/heart.png"),
        ("filename*=UTF-8''C%3A%5Cfakepath%5C%E6%9D%B1.png", "東.png"),
        ('filename=""', "image"),
    ],
)  # fmt: skip
def test_names(parameters: str | bytes, name: str) -> None:
    assert read(image(parameters)) == [(name, PNG)]


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        (('content-disposition: form-data; name="x"; filename="a.png"',), "a.png"),
        (('CONTENT-DISPOSITION: Form-Data; Name=""; Filename=a.png',), "a.png"),
        (("Content-Disposition: form-data; filename=a.png",), "a.png"),  # no name
        (("Content-Disposition:form-data;name=image;filename=a.png",), "a.png"),
        (("Content-Disposition: attachment; filename=a.png",), "a.png"),
        (('Content-Disposition: form-data; name="image"', "Content-Type: IMAGE/PNG"), "image"),
        (("Content-Type: application/octet-stream",), "image"),
        (("Content-Type: image/png",), "image"),
    ],
)
def test_headers_of_a_part(headers: tuple[str, ...], name: str) -> None:
    assert read(part(*headers)) == [(name, PNG)]


@pytest.mark.parametrize("boundary", ["'()+_,-./:=?", "----WebKitFormBoundary7MA4YWxk", "a b", "0"])
def test_boundaries(boundary: str) -> None:
    body = part("Content-Disposition: form-data; filename=a.png", boundary=boundary)
    end = f"--{boundary}--".encode()
    for kind in (
        f'multipart/form-data; boundary="{boundary}"',
        f'Multipart/Form-Data; charset=utf-8; BOUNDARY="{boundary}"',
    ):
        assert read(body, kind=kind, end=end) == [("a.png", PNG)]


@pytest.mark.parametrize("step", [1, 7, 10**6])
def test_what_stands_around_the_parts_is_no_matter(step: int) -> None:
    field = part('Content-Disposition: form-data; name="note"', body=b"text")
    empty = part('Content-Disposition: form-data; name="more"; filename=""', body=b"")
    parts = (
        b"This is a form.\r\n--XY\r\n",
        field,
        image("filename=a.png"),
        empty,
        image("filename=b"),
    )
    found = read(*parts, end=b"--XYZ--\r\nthe end", step=step)
    assert found == [("a.png", PNG), ("b", PNG)]


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("BASE64", base64.encodebytes(PNG)), ("binary", PNG), ("8bit", PNG),
        ("quoted-printable", b"=89PNG=0D=0A=1A=0A--XYZ=0D=0A=0D=0A--=00=FF"),
    ],
)  # fmt: skip
def test_transfer_encodings(encoding: str, body: bytes) -> None:
    sent = image("filename=a.png", f"Content-Transfer-Encoding: {encoding}", body=body)
    assert read(sent) == [("a.png", PNG)]


@pytest.mark.parametrize(
    ("body", "options", "said"),
    [
        (b"", {"end": b""}, "does not contain the boundary"),
        (b"x" * 100_000, {"step": 1000}, "does not begin with its boundary"),
        (image("filename=a.png"), {"end": b""}, "ends before its last boundary"),
        (image("filename=a.png"), {"end": b"--XYZ"}, "ends before its last boundary"),
        (image("filename=a.png"), {"kind": "multipart/form-data"}, "no boundary"),
        (image("filename=a.png"), {"kind": f"multipart/form-data; boundary={'x' * 300}"}, "300"),
        (part("Content Disposition: form-data"), {}, "invalid character"),
        (part(*(f"X-{n}: 1" for n in range(20))), {}, "header count"),
        (part('Content-Disposition: form-data; name="image"'), {}, "file name"),
        (image("filename=a") * 3, {"most": 2}, "at most 2 images"),
        (
            image("filename=a", "Content-Transfer-Encoding: base64", body=b"A"), {},
            "not valid base64",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused(body: bytes, options: dict, said: str) -> None:
    with pytest.raises(ApiError, match=said) as refused:
        read(body, **options)
    assert refused.value.status == 400
