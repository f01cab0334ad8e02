"""Machine tags: in every field that programs read, marked, and taken back byte for byte."""

import re
import subprocess
from pathlib import Path

import pytest

from hangtag.library.importers import import_catalog
from hangtag.library.keywords.machine_tags import MachineTag, Which, merged
from hangtag.library.keywords.xmp import keywords, read_keywords
from hangtag.library.keywords.xmp_sidecars import untag_sidecars, write_sidecar
from tests.library.keywords.conftest import DC, RDF, mark, packet, picture, save_png, write
from tests.library.keywords.readers import (
    FIELDS,
    NEEDS_READERS,
    exiftool,
    exiv2,
    run_exiftool,
    same_in_all,
)
from tests.library.keywords.test_xmp_sidecars import FOREIGN, described

pytestmark = NEEDS_READERS

DIGIKAM = 'xmlns:digiKam="http://www.digikam.org/ns/1.0/"'
TREE = (
    described(
        f"<digiKam:TagsList {DIGIKAM}><rdf:Seq><rdf:li>animal/fish</rdf:li></rdf:Seq>"
        "</digiKam:TagsList>"
    )
    .replace("lr:", "x1:")
    .replace(":lr", ":x1")
)
BEFORE = {
    "none": None,
    "empty": b"",
    "blank": b"\n \n",
    "byte-order mark": b"\xef\xbb\xbf\n",
    "foreign": FOREIGN,
    "list": packet("mine", "a; b"),
    "carriage returns": packet("mine").replace(b"><", b">\r\n\t<"),
    "no description": b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>',
    "empty RDF": f'<rdf:RDF xmlns:rdf="{RDF}"/>'.encode(),
    "empty bag": packet().replace(b"<rdf:Bag></rdf:Bag>", b"<rdf:Bag />"),
    "empty subject": described("<dc:subject/>").encode(),
    "plain text": described("<dc:subject>mine</dc:subject>").encode(),
    "attribute": described("", "dc:subject = 'mine, too'").encode(),
    "tree": TREE.encode(),
    "utf-16": f'<?xml version="1.0" encoding="utf-16"?>\r\n{packet("é").decode()}'.encode("utf-16"),
    "latin-1": b'<?xml version="1.0" encoding="latin-1"?>' + packet("mine"),
    "other prefixes": packet("mine").replace(b"rdf:", b"r:").replace(b"xmlns:rdf", b"xmlns:r"),
}


@pytest.mark.parametrize("name", ["a.xmp", "a.png.xmp"])
@pytest.mark.parametrize("before", BEFORE)
def test_what_is_written_is_taken_back(tmp_path: Path, before: str, name: str) -> None:
    """All at once, tag by tag, and after a second run with other tags."""
    image, sidecar, old = save_png(tmp_path / "a.png"), tmp_path / name, BEFORE[before]
    if old is None:
        sidecar = tmp_path / "a.png.xmp"
    else:
        sidecar.write_bytes(old)
    people = read_keywords(image).tags
    write_sidecar(image, [mark("cat", 0.9), mark("ünïcode; <&>", 0.4)])
    first = sidecar.read_bytes()
    write_sidecar(image, [mark("dog", 0.6, "other@ffff"), mark("猫", 0.2)])
    assert {one.tag for one in read_keywords(image).machine} == {"cat", "ünïcode; <&>", "dog", "猫"}
    assert keywords(image) == people
    untag_sidecars(image, Which(below=0.3))
    untag_sidecars(image, Which(model="other"))
    assert sidecar.read_bytes() == first
    untag_sidecars(image, Which(tags=("CAT",)))
    assert [one.tag for one in read_keywords(image).machine] == ["ünïcode; <&>"]
    gone = untag_sidecars(image, Which())
    assert [one.tag for was in gone for one in was.tags] == ["ünïcode; <&>"]
    assert all(was.exact for was in gone)
    assert (sidecar.read_bytes() if sidecar.exists() else None) == old
    assert untag_sidecars(image, Which()) == []


@pytest.mark.parametrize("before", ["none", "carriage returns", "no description"])
def test_other_programs_read_every_field(tmp_path: Path, before: str) -> None:
    image, sidecar = save_png(tmp_path / "a.png"), tmp_path / "a.png.xmp"
    if (old := BEFORE[before]) is not None:
        sidecar.write_bytes(old)
    mine = keywords(image) if old else []
    write(image, ["cat", "Größe", "猫"])
    same_in_all(sidecar, [*mine, "cat", "Größe", "猫"])


def test_tags_stand_beside_those_of_people_in_every_field(tmp_path: Path) -> None:
    """A field that is not there yet begins with what people wrote into the others."""
    image, sidecar = save_png(tmp_path / "a.png"), tmp_path / "a.png.xmp"
    sidecar.write_text(TREE)
    write(image, ["fish", "red"])
    assert [one.tag for one in read_keywords(image).machine] == ["red"]
    for found in (exiftool(sidecar), exiv2(sidecar)):
        assert [found[name] for name in FIELDS] == [
            ["fish", "red"], ["animal|fish", "red"], ["animal/fish", "red"], ["animal/fish", "red"]
        ]  # fmt: skip
    sidecar.write_bytes(packet("black/white", "animal|cat"))
    write(image, ["red"])
    found = exiftool(sidecar)
    assert found[FIELDS[1]] == ["animal|cat", "black/white", "red"]
    assert keywords(image) == ["black/white", "cat"]


def test_a_new_sidecar_begins_with_what_people_wrote_into_the_image(tmp_path: Path) -> None:
    image = tmp_path / "a.webp"
    picture().save(image, xmp=packet("inside", "x; y"))
    people = keywords(image)
    sidecar = write(image, ["cat"])
    same_in_all(sidecar, [*people, "cat"])
    assert keywords(image) == people
    untag_sidecars(image, Which())
    assert not sidecar.exists()


def test_marks_hold_model_and_score_and_the_last_run_counts(tmp_path: Path) -> None:
    image = save_png(tmp_path / "a.png")
    write_sidecar(image, [mark("cat", 0.51239, "one@1"), mark("dog", 0.8, "one@1")])
    sidecar = write_sidecar(image, [mark("Cat", 0.75, "two@2")])
    assert read_keywords(image).machine == [
        MachineTag("Cat", 0.75, "two@2"), MachineTag("dog", 0.8, "one@1")
    ]  # fmt: skip
    found = exiftool(sidecar)
    assert found["XMP-hangtag:Tags"][0] == str({"Model": "two@2", "Score": 0.75, "Tag": "Cat"})
    for model in ("two", "2", "two@2"):
        assert mark("cat", 0.75, "two@2") in Which(model=model)
    assert mark("cat", 0.75, "two@2") not in Which(model="one")
    assert mark("cat", 0.75) not in Which(below=0.75)


def test_import_reads_no_machine_tags(tmp_path: Path) -> None:
    save_png(tmp_path / "a.png")
    (tmp_path / "a.png.xmp").write_bytes(packet("mine"))
    write(tmp_path / "a.png", ["cat"])
    assert import_catalog("xmp", tmp_path).designs[0].tags == ("mine",)


def by_exiftool(sidecar: Path) -> None:
    run_exiftool("-overwrite_original", "-XMP-dc:Subject+=by hand", sidecar)


def by_exiv2(sidecar: Path) -> None:
    subprocess.run(["exiv2", "-M", "add Xmp.dc.subject XmpBag by hand", sidecar], check=True)


OTHERS = {"exiftool": by_exiftool, "exiv2": by_exiv2}


@pytest.mark.parametrize("before", ["none", "foreign", "list", "tree"])
@pytest.mark.parametrize("program", OTHERS)
def test_changes_of_other_programs_stay(tmp_path: Path, program: str, before: str) -> None:
    """They write the packet anew: the machine tags are still known, and cut out of it."""
    image, sidecar = save_png(tmp_path / "a.png"), tmp_path / "a.png.xmp"
    if (old := BEFORE[before]) is not None:
        sidecar.write_bytes(old)
    people = keywords(image) if old else []
    write(image, ["cat", "heart; love"])
    OTHERS[program](sidecar)
    assert sorted(keywords(image)) == sorted([*people, "by hand"])
    write_sidecar(image, [mark("red", 0.3)])
    assert [one.tag for one in read_keywords(image).machine] == ["cat", "heart; love", "red"]
    gone = untag_sidecars(image, Which())
    assert [one.tag for one in gone[0].tags] == ["cat", "heart; love", "red"]
    assert sorted(keywords(image)) == sorted([*people, "by hand"])
    assert not re.search(r"\bcat\b|heart; love|<hangtag:", sidecar.read_text())


def test_a_person_s_edit_of_a_marked_sidecar_stays(tmp_path: Path) -> None:
    """Even one that leaves the length as it is, so that every recorded offset still fits."""
    image = save_png(tmp_path / "a.png")
    sidecar = write(image, ["cat", "dog"])
    text = sidecar.read_text()
    sidecar.write_text(text.replace("<rdf:li>dog</rdf:li>", "<rdf:li>pig</rdf:li>"))
    (was,) = untag_sidecars(image, Which())
    assert not was.exact
    assert keywords(image) == ["pig"]


def test_a_damaged_record_leaves_the_tags_of_people(tmp_path: Path) -> None:
    image, sidecar = save_png(tmp_path / "a.png"), tmp_path / "a.png.xmp"
    sidecar.write_bytes(packet("mine"))
    write(image, ["cat"])
    text = re.sub(r"(<hangtag:undo><rdf:Bag><rdf:li>)[^<]*", r"\1x", sidecar.read_text())
    sidecar.write_text(text)
    assert not untag_sidecars(image, Which())[0].exact
    assert keywords(image) == ["mine"]
    assert f'xmlns:dc="{DC}"' in sidecar.read_text()


def test_merged_marks_are_stripped_and_distinct() -> None:
    found = merged([mark("cat"), mark("dog")], [mark(" Dog ", 0.123456), mark("dog"), mark(" ")])
    assert found == [mark("cat"), mark("Dog", 0.1235)]
