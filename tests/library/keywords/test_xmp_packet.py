"""XMP as XML: which subjects count, and what hostile XML cannot do."""

import gzip
from pathlib import Path

import pytest

from hangtag.errors import CatalogError
from hangtag.library.keywords.xmp import embedded_keywords
from tests.library.keywords.conftest import DC, RDF, rdf


def svg(metadata: str, doctype: str = "", rest: str = "") -> str:
    return (
        f'<?xml version="1.0"?>{doctype}<svg xmlns="http://www.w3.org/2000/svg" xmlns:dc="{DC}">'
        f"<metadata>{metadata}</metadata>{rest}</svg>"
    )


def test_plain_subject_in_svg(tmp_path: Path) -> None:
    (tmp_path / "a.svg").write_text(svg("<dc:subject>cat, red\ncar,,</dc:subject>"))
    assert embedded_keywords(tmp_path / "a.svg") == ["cat", "red\ncar"]


def test_subjects_of_placed_parts_do_not_count(tmp_path: Path) -> None:
    part = f"<symbol><dc:subject>part</dc:subject></symbol>{rdf()}"
    (tmp_path / "a.svg").write_text(svg("<dc:subject>whole</dc:subject>", rest=part))
    assert embedded_keywords(tmp_path / "a.svg") == ["whole"]


def test_twice_escaped_and_joined_keywords_are_fixed(tmp_path: Path) -> None:
    text = svg(rdf("&amp;eacute;toile", "cat; dog", "R&amp;B", "pens&amp;notes"))
    (tmp_path / "a.svg").write_text(text)
    assert embedded_keywords(tmp_path / "a.svg") == ["étoile", "cat", "dog", "R&B", "pens&notes"]


def test_illustrators_entities_are_understood(tmp_path: Path) -> None:
    doctype = f'<!DOCTYPE svg [<!ENTITY ns_rdf "{RDF}"><!ENTITY ns_ai "http://ns.adobe.com/ai/">]>'
    text = svg(rdf("cat").replace(f'"{RDF}"', '"&ns_rdf;"'), doctype)
    (tmp_path / "a.svg").write_text(text)
    assert embedded_keywords(tmp_path / "a.svg") == ["cat"]


HOSTILE = {
    "entities that multiply": svg(
        rdf("&c;"),
        '<!DOCTYPE svg [<!ENTITY a "xxxxxxxx"><!ENTITY b "&a;&a;&a;"><!ENTITY c "&b;&b;&b;">]>',
    ),
    "one long entity": svg(rdf("&a;&a;"), f'<!DOCTYPE svg [<!ENTITY a "{"x" * 1000}">]>'),
    "another file": svg(rdf("&a;"), '<!DOCTYPE svg [<!ENTITY a SYSTEM "secret.txt">]>'),
    "a parameter entity": svg(rdf("cat"), '<!DOCTYPE svg [<!ENTITY % a SYSTEM "x.dtd"> %a;]>'),
    "depth": "<g>" * 100_000,
    "a cut file": svg(rdf("cat"))[:-10],
    "an unknown encoding": '<?xml version="1.0" encoding="klingon"?><svg/>',
    "nothing": "",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_and_broken_xml_is_one_clear_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "a.svg").write_text(HOSTILE[name])
    with pytest.raises(CatalogError, match=r"a\.svg: its keywords cannot be read \(.+\)$"):
        embedded_keywords(tmp_path / "a.svg")


def test_packed_drawing_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.svgz").write_bytes(gzip.compress(b" " * (40 << 20), compresslevel=1))
    with pytest.raises(CatalogError, match="32 MB"):
        embedded_keywords(tmp_path / "a.svgz")
