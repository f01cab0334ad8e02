"""Copies of XMP keywords in IPTC and EXIF: damaged ones are no keywords, others stay."""

import struct
from pathlib import Path

import pytest
from PIL import Image

from hangtag.library.keywords.copies import Copies
from hangtag.library.keywords.iptc import decoded, keyword_bytes, photoshop_resources
from hangtag.library.keywords.xmp import keywords

LONG = "a very long keyword that an agency once wrote for a picture of a red cat"
JAPANESE = "とても長い日本語のキーワードで六十四バイトを超えるもの"
UMLAUTS = "Größenverhältnisse zwischen Königsschlössern und Bürgerhäusern in Österreich"


def records(*values: bytes, charset: bytes = b"") -> bytes:
    sets = [(1, 90, charset)] if charset else []
    sets += [(2, 0, b"\0\4"), *((2, 25, value) for value in values)]
    return b"".join(struct.pack(">BBBH", 0x1C, a, b, len(v)) + v for a, b, v in sets)


def photoshop(data: bytes) -> bytes:
    return b"8BIM\4\4\0\0" + struct.pack(">I", len(data)) + data + bytes(len(data) % 2)


@pytest.mark.parametrize(
    ("originals", "value"),
    [
        (["café"], "café".encode()),
        (["Café"], b"cAFE\xcc\x81"),
        ([LONG], LONG.encode()[:64]),
        ([LONG], LONG.encode()[:60].rstrip()),
        ([LONG], LONG.encode()[:61] + b"..."),
        ([JAPANESE], JAPANESE.encode()[:64]),
        ([JAPANESE], JAPANESE.encode()[:63]),
        ([JAPANESE], JAPANESE.encode()[:63] + b"?"),
        ([JAPANESE], JAPANESE.encode()[:64].decode("utf-8", "replace").encode()),
        ([JAPANESE], b"?" * len(JAPANESE)),
        ([JAPANESE], b"?" * 64),
        ([JAPANESE * 2], JAPANESE.encode("shift_jis") * 2),
        ([UMLAUTS], UMLAUTS.encode("cp1252")[:64]),
        ([UMLAUTS], UMLAUTS.encode("utf-8")[:64].decode("latin-1").encode()),
        ([UMLAUTS], UMLAUTS.encode("mac_roman").decode("cp1252", "replace").encode()[:64]),
        (["café"], "café".encode("mac_roman")),
        (["café"], "café".encode("cp437")),
        (["café"], "cafÃ©".encode()),
        (["café"], "cafÃ©".encode("latin-1")),
        (["café"], b"caf?"),
        (["café"], b"caf??"),
        (["café"], "caf\ufffd".encode()),
        (["café"], b"cafe"),
        (["кот"], "кот".encode("cp1251")),
        (["кот"], "кот".encode("koi8-r")),
        (["кот"], "кот".encode("cp1251").decode("latin-1").encode()),
        (["кот"], b"???"),
        (["猫"], "猫".encode("shift_jis")),
        (["猫"], "猫".encode("gbk")),
        (["猫"], "猫".encode("euc_jp")),
        (["кот"], "кот".encode("utf-16-be")),
        (["café"], "café".encode("utf-16-le")),
        (["hello", "world"], b"hello,world"),
        (["hello", "world"], b"hello; world;"),
        (["café", "кот"], "café,кот".encode()),
        (["кот", "дом"], "кот;дом".encode("cp1251")),
        (["one keyword of many", LONG], f"one keyword of many,{LONG}".encode()[:64]),
        (["hello", "big", "world"], b"hello big world"),
        (["hello"], b""),
    ],
)
def test_copies_are_known(originals: list[str], value: bytes) -> None:
    (text,) = decoded([value], "")
    assert Copies(originals).without(value, text) == []


@pytest.mark.parametrize(
    ("originals", "text"),
    [
        (["red cat"], "red"),
        (["red", "cat"], "red cat"),
        (["red"], "red cat"),
        (["cat"], "what?"),
        (["whats"], "what?"),
        ([LONG], "a very long"),
        (["rome"], "rome,italy"),
        (["café"], "cafeteria"),
        ([LONG], LONG.replace("agency", "artist")),
        ([], "cat"),
    ],
)
def test_keywords_of_their_own_stay(originals: list[str], text: str) -> None:
    assert Copies(originals).without(text.encode(), text) == [text]


def test_what_a_joined_copy_has_beside_the_originals_stays() -> None:
    assert Copies(["cat", "red"]).without(b"cat, red, new", "cat, red, new") == ["new"]


@pytest.mark.parametrize(
    ("words", "encoding"),
    [
        (["café", "Größe"], "cp1252"),
        (["café", "Größe"], "mac_roman"),
        (["don’t", "30°"], "cp1252"),
        (["красный", "кот"], "cp1251"),
        (["猫", "赤い猫"], "cp932"),
        (["红色", "苹果"], "gbk"),
    ],
)
def test_old_encodings_are_guessed_from_the_looks_of_the_words(
    words: list[str], encoding: str
) -> None:
    assert decoded([word.encode(encoding) for word in words], "") == words


def test_declared_character_sets_count() -> None:
    data = records("café".encode(), charset=b"\x1b%G")
    assert decoded(*keyword_bytes(data)) == ["café"]
    assert decoded(*keyword_bytes(records("łódź".encode("iso8859-2"), charset=b"\x1b-B"))) == [
        "łódź"
    ]


def test_a_damaged_resource_does_not_hide_the_next() -> None:
    damaged = b"8BIM\x03\xed\0\0\xff\xff\xff\xff" + bytes(8)
    first, second = photoshop_resources(damaged + photoshop(records(b"cat")))
    assert not first[2]
    assert keyword_bytes(second[1])[0] == [b"cat"]


def test_a_sidecar_makes_copies_inside_the_image_needless(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x9C9E] = "caf?;own".encode("utf-16-le") + b"\0\0"
    Image.new("RGB", (8, 8)).save(tmp_path / "a.jpg", exif=exif)
    data = (tmp_path / "a.jpg").read_bytes()
    block = b"Photoshop 3.0\0" + photoshop(records("café".encode("mac_roman"), b"too"))
    segment = b"\xff\xed" + struct.pack(">H", len(block) + 2) + block
    (tmp_path / "a.jpg").write_bytes(data[:2] + segment + data[2:])
    (tmp_path / "a.xmp").write_text(
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
        'xmlns:dc="http://purl.org/dc/elements/1.1/" dc:subject="café"/></rdf:RDF>',
        encoding="utf-8",
    )
    assert keywords(tmp_path / "a.jpg") == ["own", "too", "café"]
