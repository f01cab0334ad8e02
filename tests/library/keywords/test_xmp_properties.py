"""Keywords in every property and form that programs write: the same tags come out."""

from pathlib import Path

import pytest
from PIL import Image

from hangtag.library.keywords.xmp import keywords

NAMESPACES = " ".join(
    f'xmlns:{prefix}="{address}"'
    for prefix, address in {
        "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
        "dc": "http://purl.org/dc/elements/1.1/",
        "q": "http://purl.org/dc/elements/1.1/",
        "lr": "http://ns.adobe.com/lightroom/1.0/",
        "digiKam": "http://www.digikam.org/ns/1.0/",
        "MicrosoftPhoto": "http://ns.microsoft.com/photo/1.0/",
        "exiftool": "http://ns.microsoft.com/photo/1.0",
        "mediapro": "http://ns.iview-multimedia.com/mediapro/1.0/",
        "acdsee": "http://ns.acdsee.com/iptc/1.0/",
        "pdf": "http://ns.adobe.com/pdf/1.3/",
        "kw": "http://www.metadataworkinggroup.com/schemas/keywords/",
        "xmp": "http://ns.adobe.com/xap/1.0/",
    }.items()
)
CATEGORIES = (
    "&lt;Categories&gt;&lt;Category Assigned=&quot;0&quot;&gt;animal&lt;Category Assigned="
    "&quot;1&quot;&gt;cat&lt;/Category&gt;&lt;/Category&gt;&lt;/Categories&gt;"
)


def bag(*items: str, kind: str = "Bag") -> str:
    return f"<rdf:{kind}>{''.join(f'<rdf:li>{item}</rdf:li>' for item in items)}</rdf:{kind}>"


def packet(inside: str = "", attributes: str = "") -> str:
    return (
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF {NAMESPACES}>'
        f'<rdf:Description rdf:about="" {attributes}>{inside}</rdf:Description>'
        "</rdf:RDF></x:xmpmeta>"
    )


@pytest.fixture
def image(tmp_path: Path) -> Path:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def read(image: Path, text: str | bytes) -> list[str]:
    data = text if isinstance(text, bytes) else text.encode()
    image.with_name("a.png.xmp").write_bytes(data)
    return keywords(image)


@pytest.mark.parametrize("kind", ["Bag", "Seq", "Alt"])
@pytest.mark.parametrize(
    "item",
    [
        "cat",
        "<rdf:Description><rdf:value>cat</rdf:value></rdf:Description>",
        '<rdf:Description rdf:value="cat" xmp:x="no tag"/>',
        "<![CDATA[cat]]>",
        "<b xmlns=''>cat</b>",
    ],
)
def test_items_of_every_form(image: Path, kind: str, item: str) -> None:
    assert read(image, packet(f"<dc:subject>{bag(item, 'red', kind=kind)}</dc:subject>")) == [
        "cat",
        "red",
    ]


@pytest.mark.parametrize(
    "inside",
    [
        "<dc:subject>cat, red</dc:subject>",
        "<dc:subject>cat；red</dc:subject>",
        "<dc:subject>cat</dc:subject><dc:subject>red</dc:subject>",
        f"<q:subject>{bag('cat', 'red')}</q:subject>",
        f"<dc:subject>{bag('cat')}</dc:subject></rdf:Description><rdf:Description>"
        f"<dc:subject>{bag('red')}</dc:subject>",
        "<dc:subject rdf:parseType='Resource'><rdf:value>cat, red</rdf:value></dc:subject>",
        "<dc:subject><rdf:Bag><rdf:li rdf:parseType='Resource'><rdf:value>cat</rdf:value>"
        "<xmp:x>no tag</xmp:x></rdf:li><rdf:li rdf:value='red'/></rdf:Bag></dc:subject>",
        "<dc:subject><rdf:Bag><rdf:_1>cat</rdf:_1><rdf:_2>red</rdf:_2></rdf:Bag></dc:subject>",
        f"<dc:subject>{bag('', ' cat ', 'CAT', 'red', 'Red')}</dc:subject>",
        f"<dc:subject>{bag('animal|cat', 'colour|warm|red')}</dc:subject>",
        f"<dc:subject>{bag('animal|cat', 'darktable|format|png')}</dc:subject>"
        f"<lr:hierarchicalSubject>{bag('animal|cat', 'red')}</lr:hierarchicalSubject>",
        f"<lr:weightedFlatSubject>{bag('cat', 'red')}</lr:weightedFlatSubject>",
        f"<lr:hierarchicalSubject>{bag('animal|cat', 'colour|warm|red')}</lr:hierarchicalSubject>",
        f"<digiKam:TagsList>{bag('animal/cat', 'red', kind='Seq')}</digiKam:TagsList>",
        f"<digiKam:TagsList>{bag('animal|cat', 'red', kind='Seq')}</digiKam:TagsList>",
        f"<MicrosoftPhoto:LastKeywordXMP>{bag('cat', 'a/red')}</MicrosoftPhoto:LastKeywordXMP>",
        f"<MicrosoftPhoto:LastKeywordIPTC>{bag('cat', 'red')}</MicrosoftPhoto:LastKeywordIPTC>",
        f"<exiftool:LastKeywordXMP>{bag('cat', 'red')}</exiftool:LastKeywordXMP>",
        f"<mediapro:CatalogSets>{bag('animal|cat', 'red')}</mediapro:CatalogSets>",
        f"<acdsee:keywords>{bag('cat', 'red')}</acdsee:keywords>",
        f"<acdsee:categories>{CATEGORIES}</acdsee:categories><dc:subject>red</dc:subject>",
        "<pdf:Keywords>cat; red</pdf:Keywords>",
        "<pdf:Keywords>cat, red</pdf:Keywords><xmp:Label>no tag</xmp:Label>",
        "<kw:Keywords rdf:parseType='Resource'><kw:Hierarchy><rdf:Bag>"
        "<rdf:li rdf:parseType='Resource'><kw:Keyword>animal</kw:Keyword><kw:Children><rdf:Bag>"
        "<rdf:li><rdf:Description kw:Keyword='cat'/></rdf:li></rdf:Bag></kw:Children></rdf:li>"
        "<rdf:li kw:Keyword='red'/></rdf:Bag></kw:Hierarchy></kw:Keywords>",
    ],
)
def test_properties_of_every_program(image: Path, inside: str) -> None:
    assert sorted(tag.casefold() for tag in read(image, packet(inside))) == ["cat", "red"]


@pytest.mark.parametrize(
    "attributes",
    [
        'dc:subject="cat"',
        'dc:subject="animal|cat"',
        'lr:hierarchicalSubject="animal|cat"',
        'digiKam:TagsList="animal/cat"',
        'MicrosoftPhoto:LastKeywordXMP="cat"',
        'pdf:Keywords="cat"',
    ],
)
def test_properties_as_attributes(image: Path, attributes: str) -> None:
    assert read(image, packet(attributes=attributes)) == ["cat"]


@pytest.mark.parametrize("text", ["|_|", ":|", "|cat", "cat|", "a|^_^", "black/white"])
def test_signs_in_a_subject_are_no_levels(image: Path, text: str) -> None:
    assert read(image, packet(f"<dc:subject>{bag(text)}</dc:subject>")) == [text]


def test_levels_above_come_only_where_they_are_keywords_themselves(image: Path) -> None:
    inside = (
        f"<dc:subject>{bag('animal', 'cat', 'black/white', '|_|')}</dc:subject>"
        f"<lr:hierarchicalSubject>{bag('life|animal|cat', '|_|')}</lr:hierarchicalSubject>"
        f"<MicrosoftPhoto:LastKeywordXMP>{bag('black/white')}</MicrosoftPhoto:LastKeywordXMP>"
        f"<digiKam:TagsList>{bag('_Digikam_Internal_Tags_/Color Label Red')}</digiKam:TagsList>"
    )
    assert read(image, packet(inside)) == ["animal", "cat", "black/white", "|_|"]


CAT = packet(f"<dc:subject>{bag('cat', 'Größe')}</dc:subject>")


@pytest.mark.parametrize("declared", ["", "utf-8", "utf-16", "UTF-32", "ISO-8859-1", "unicode"])
@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"]
)
def test_unicode_is_read_whatever_is_declared(image: Path, declared: str, encoding: str) -> None:
    head = f'<?xml version="1.0" encoding="{declared}"?>' if declared else ""
    assert read(image, (head + CAT).encode(encoding)) == ["cat", "Größe"]
    drawing = image.with_suffix(".svg")
    body = CAT.replace("<x:xmpmeta", "<svg").replace("</x:xmpmeta", "</svg")
    drawing.write_bytes((head + body.replace(' xmlns:x="adobe:ns:meta/"', "")).encode(encoding))
    assert keywords(drawing) == ["cat", "Größe"]


@pytest.mark.parametrize(
    ("encoding", "tag"),
    [("shift_jis", "猫"), ("gb2312", "红色"), ("windows-1251", "кот"), ("latin-1", "Größe")],
)
def test_declared_code_pages_are_read(image: Path, encoding: str, tag: str) -> None:
    head = f'<?xml version="1.0" encoding="{encoding}"?>'
    assert read(image, (head + CAT.replace("Größe", tag)).encode(encoding)) == ["cat", tag]


@pytest.mark.parametrize(
    "text",
    [
        f"{CAT}{CAT.replace('cat', 'dog')}",
        f"<?xpacket begin='\ufeff' id='x'?>{CAT}<?xpacket end='w'?>\n<?xpacket begin='' id='x'?>"
        f"{CAT.replace('cat', 'dog')}<?xpacket end='w'?>",
    ],
)
def test_what_follows_a_packet_does_no_harm(image: Path, text: str) -> None:
    assert read(image, text)[:2] == ["cat", "Größe"]


def test_padding_and_forbidden_characters_do_no_harm(image: Path) -> None:
    damaged = CAT.replace("cat", "c\x01a&#x1f;t")
    assert read(image, f"  \n{damaged}\n".encode() + bytes(20)) == ["cat", "Größe"]
