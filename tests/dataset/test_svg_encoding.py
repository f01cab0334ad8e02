"""Encodings of SVG: drawn whatever the file declares, and distinguished from other files."""

import gzip

import pytest

from hangtag.dataset.images import decode
from hangtag.dataset.svg.drawing import is_svg
from hangtag.errors import ImageError

RED = (255, 0, 0, 255)


def text(declared: str | None, name: str = "", before: str = "", prefix: str = "") -> str:
    """Return a drawing that is red only if `name` survives its encoding."""
    declaration = f'<?xml version="1.0" encoding="{declared}"?>' if declared else ""
    colon = f"{prefix}:" if prefix else ""
    space = f"xmlns:{prefix}" if prefix else "xmlns"
    return (
        f'{declaration}{before}<{colon}svg {space}="http://www.w3.org/2000/svg" viewBox="0 0 9 9">'
        f"<{colon}style>.a{name}{{fill:red}}</{colon}style>"
        f'<{colon}rect class="a{name}" width="9" height="9"/></{colon}svg>'
    )


def shown(data: bytes) -> tuple[int, ...]:
    assert is_svg(data)
    return tuple(int(value) for value in decode(data, 16)[8, 8])


@pytest.mark.parametrize(
    ("declared", "encoding", "name"),
    [
        ("UTF-8", "utf-8", "é猫"),
        (None, "utf-8", "é猫"),
        (None, "utf-8-sig", "猫"),
        ("windows-1251", "utf-8-sig", "猫"),  # the mark wins
        ("utf-16", "utf-8", "猫"),  # as .NET writes it
        ("UTF-16LE", "utf-8", ""),
        ("utf-32", "utf-8", ""),
        ("ucs-2", "utf-8", ""),
        ("no-such-encoding", "utf-8", "é"),
        ("utf-7", "utf-8", "é"),
        ("cp037", "utf-8", ""),
        ("utf-16", "utf-16", "é猫"),
        (None, "utf-16", "猫"),
        ("utf-16", "utf-16-le", "猫"),
        ("utf-16", "utf-16-be", "猫"),
        (None, "utf-16-be", "猫"),
        ("utf-8", "utf-16", "猫"),
        ("utf-32", "utf-32", "猫"),
        ("utf-32", "utf-32-be", "猫"),
        ("shift_jis", "shift_jis", "日本"),
        ("Shift-JIS", "cp932", "日本"),
        ("euc-jp", "euc-jp", "日本"),
        ("iso-2022-jp", "iso-2022-jp", "日本"),
        ("gb2312", "gb2312", "猫"),
        ("GBK", "gbk", "猫"),
        ("gb18030", "gb18030", "猫"),
        ("Big5", "big5", "貓"),
        ("euc-kr", "euc-kr", "고양이"),
        ("ISO-8859-1", "latin-1", "é"),
        ("iso-8859-2", "iso-8859-2", "č"),
        ("iso-8859-15", "iso-8859-15", "œ"),
        ("windows-1252", "cp1252", "œ"),
        ("windows-1251", "cp1251", "кот"),
        ("windows-1250", "cp1250", "č"),
        ("KOI8-R", "koi8-r", "кот"),
        ("macintosh", "mac-roman", "é"),
        ("cp850", "cp850", "é"),
        ("us-ascii", "ascii", ""),
    ],
)
def test_a_drawing_is_read_in_its_encoding(declared: str, encoding: str, name: str) -> None:
    assert shown(text(declared, name).encode(encoding)) == RED


def test_bytes_that_are_wrong_in_their_encoding_spoil_nothing() -> None:
    data = (
        text("UTF-8", "").replace("<svg ", "<svg id='\udce9' ").encode("utf-8", "surrogateescape")
    )
    assert shown(data) == RED


@pytest.mark.parametrize(
    "before",
    [
        "\n\t ",
        "<!-- no <html> -->",
        f"<!--{'x' * 70_000}-->",
        "<!-- a -->" * 8_000,
        f"<?note {'x' * 70_000}?>",
        '<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/svg11.dtd">',
        '<!DOCTYPE svg [<!ENTITY a "]>"><!-- ]> --><!ATTLIST svg c CDATA #IMPLIED><?p ]>?>]>',
        f'<!DOCTYPE svg [<!ENTITY a "{"x" * 70_000}">]>',
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_what_stands_before_the_root(before: str, encoding: str) -> None:
    assert shown(text(None, before=before).encode(encoding)) == RED
    assert shown(text("utf-8", before=before).encode(encoding)) == RED


def test_white_space_before_the_declaration() -> None:
    assert shown(b"\n " + text("utf-8").encode()) == RED


def test_an_xml_of_another_version() -> None:
    assert shown(text("utf-8").replace("1.0", "1.1", 1).encode()) == RED


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "shift_jis"])
def test_svgz(encoding: str) -> None:
    data = text(encoding, before=f"<!--{'x' * 70_000}-->").encode(encoding)
    assert shown(gzip.compress(data)) == RED
    assert shown(gzip.compress(data) + b"what a download appended") == RED
    members = [data[at : at + 40] for at in range(0, len(data), 40)]
    assert shown(b"".join(map(gzip.compress, members))) == RED


@pytest.mark.parametrize(
    "document",
    [
        text(None, prefix="svg"),
        text(None).replace(' xmlns="http://www.w3.org/2000/svg"', ""),
        text(None).replace("http://www.w3", "https://www.w3"),
        text(None).replace("<rect ", "<title>&nbsp;&copy;&eacute;&amp;</title><rect "),
        text(None).replace("<rect ", '<rect xlink:title="t" inkscape:label="l" i:knockout="Off" '),
        text(None).replace(
            "<rect ", '<g xmlns:xlink="http://www.w3.org/1999/xlink"/><rect xlink:title="t" '
        ),
        text(None)
        .replace("<rect ", '<defs><rect id="r" ')
        .replace("</svg>", '</defs><use xlink:href="#r"/></svg>'),
        '<!DOCTYPE svg [<!ENTITY ns_svg "http://www.w3.org/2000/svg">]>'
        + text(None).replace("http://www.w3.org/2000/svg", "&ns_svg;"),
    ],
)
def test_what_programs_leave_out_is_put_right(document: str) -> None:
    assert shown(document.encode()) == RED


@pytest.mark.parametrize(
    "data",
    [
        b"<!DOCTYPE html><html><body>" + text(None).encode() + b"</body></html>",
        b"<html>" + text(None).encode(),
        # A time would be in the test's name, where every process needs the same.
        gzip.compress(b"<html>" + text(None).encode(), mtime=0),
        gzip.compress(b"a,b\n1,2\n", mtime=0),
        gzip.compress(b"", mtime=0),
        b"\x1f\x8bnot gzip",
        b"a text on <svg> drawings",
        b"<svgs/>",
        b"",
        b"<!DOCTYPE svg [" + b"<!-- a -->" * 3_000 + b'"',
    ],
)
def test_other_files_are_no_svg(data: bytes) -> None:
    assert not is_svg(data)
    with pytest.raises(ImageError) as caught:
        decode(data, 16)
    assert "\n" not in str(caught.value)


def test_a_damaged_svgz_says_so() -> None:
    data = gzip.compress(text(None, before=f"<!--{'xyz' * 9_000}-->").encode())
    for damaged in (data[:-20], data[:100] + b"\0" + data[101:-30] + b"\1" * 30):
        with pytest.raises(ImageError, match="compressed SVG is damaged") as caught:
            decode(damaged, 16)
        assert caught.value.reason == "truncated"
