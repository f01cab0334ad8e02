"""Tags that are paths: which they are, and what they imply from the catalog to the labels."""

from pathlib import Path

import pytest
from PIL import Image

from hangtag.library.catalog import Design
from hangtag.library.importers import import_catalog
from hangtag.library.keywords.machine_tags import MachineTag, Which
from hangtag.library.keywords.xmp import keywords, read_keywords
from hangtag.library.keywords.xmp_sidecars import untag_sidecars, write_sidecar
from hangtag.library.paths import ancestors, levels, path_names
from hangtag.library.rules import Rules
from hangtag.library.vocabulary import Vocabulary


def test_levels_are_words() -> None:
    assert levels("animal/big cat") == ("animal", "big cat")
    assert list(ancestors("a b/cd/ef")) == ["a b/cd", "a b"]
    for name in ("cat", "24/7", "w/o", "</3", "http://cat", "/cat", "cat/"):
        assert levels(name) == (name,)


def test_a_path_has_a_level_above_that_is_used() -> None:
    assert path_names({"black/white", "cat"}) == set()
    assert path_names({"animal/cat", "animal"}) == {"animal/cat"}
    assert path_names({"animal/cat", "animal/dog"}) == {"animal/cat", "animal/dog"}
    assert path_names({"animal/cat/lion", "animal"}) == {"animal/cat/lion"}


def vocabulary(*tags: tuple[str, ...], rules: Rules | None = None) -> Vocabulary:
    designs = [Design(f"{number}.png", names) for number, names in enumerate(tags)]
    return Vocabulary.build(designs, min_count=1, rules=rules or Rules())


def test_a_path_implies_what_is_above_it() -> None:
    found = vocabulary(("Animal/Cat/Lion",), ("animal/cat",), ("animal/dog",), ("red",))
    assert found.names == ("animal", "animal/cat", "animal/cat/lion", "animal/dog", "red")
    assert [tag.count for tag in found.tags] == [3, 2, 1, 1, 1]
    assert found.tags[2].implies == ("animal", "animal/cat")
    assert found.paths["animal/cat/lion"] == ("animal", "cat", "lion")
    assert set(found.paths) == {"animal/cat", "animal/cat/lion", "animal/dog"}
    yes = Design("a.png", ("animal/cat",), not_tags=("animal/dog",))
    assert found.labels(yes).tolist() == [1, 1, -1, 0, -1]
    no = Design("b.png", (), not_tags=("animal",))
    assert found.labels(no).tolist() == [0, 0, 0, 0, -1]


def test_rules_count_before_paths() -> None:
    rules = Rules({"tier": "animal"}, {"animal": ("animal/cat",), "red": ("colour",)})
    found = vocabulary(("animal/cat",), ("animal",), ("tier/dog",), ("tier/ape",), rules=rules)
    implied = {tag.name: tag.implies for tag in found.tags}
    assert implied["animal/cat"] == ()
    assert implied["animal"] == ("animal/cat",)
    assert "animal" in implied["tier/dog"]


@pytest.mark.parametrize("kind", ["folder", "xmp"])
def test_importers_keep_levels(tmp_path: Path, kind: str) -> None:
    image = tmp_path / "animal" / "cat" / "a.png"
    image.parent.mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(image)
    image.with_name("a.png.xmp").write_text(
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description'
        ' xmlns:lr="http://ns.adobe.com/lightroom/1.0/"><lr:hierarchicalSubject><rdf:Bag>'
        "<rdf:li>animal|cat</rdf:li></rdf:Bag></lr:hierarchicalSubject></rdf:Description></rdf:RDF>"
    )
    assert import_catalog(kind, tmp_path, paths=True).designs[0].tags == ("animal/cat",)
    assert import_catalog(kind, tmp_path).designs[0].tags[-1:] == ("cat",)


def test_paths_in_xmp(tmp_path: Path) -> None:
    """In fields with levels as levels, in `dc:subject` the last one, and taken back."""
    image = tmp_path / "a.png"
    Image.new("RGB", (4, 4)).save(image)
    marks = [
        MachineTag("animal/cat", 0.9, "m@1", ("animal", "cat")), MachineTag("animal", 0.9, "m@1")
    ]  # fmt: skip
    sidecar = write_sidecar(image, marks)
    text = "".join(sidecar.read_text().split())
    for items in ("<rdf:li>cat</rdf:li>", "<rdf:li>animal|cat</rdf:li>"):
        assert f"<rdf:Bag>{items}<rdf:li>animal</rdf:li></rdf:Bag>" in text
    assert text.count("<rdf:li>animal/cat</rdf:li>") == 2
    assert read_keywords(image).machine == marks
    assert keywords(image) == []
    untag_sidecars(image, Which(tags=("animal/cat",)))
    assert read_keywords(image).machine == marks[1:]
    untag_sidecars(image, Which())
    assert not sidecar.exists()
