"""Tags of a model written into a library and taken back, from the command line."""

import json
import shutil
from pathlib import Path

import pytest

import hangtag
from hangtag.errors import ConfigError
from hangtag.library.catalog import Catalog
from hangtag.library.keywords.machine_tags import Which
from hangtag.library.keywords.xmp import read_keywords
from hangtag.tagging.designs import Located
from hangtag.tagging.model_folder import ModelFolder
from hangtag.tagging.untag import untag_library
from tests.commands import hangtag as command


@pytest.fixture
def folder(library: Catalog, tmp_path: Path) -> Path:
    """Ten designs; one has a sidecar of a person, one a sidecar that is no XMP."""
    folder = tmp_path / "designs"
    folder.mkdir()
    for design in library.designs[:10]:
        shutil.copy(library.location(design), folder)
    first, second = sorted(folder.iterdir())[:2]
    packet = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF'
        ' xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""'
        ' xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:subject><rdf:Bag><rdf:li>mine</rdf:li>'
        "</rdf:Bag></dc:subject></rdf:Description></rdf:RDF></x:xmpmeta>"
    )
    first.with_name(first.name + ".xmp").write_text(packet)
    second.with_name(second.name + ".xmp").write_text("not XMP")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_untag_restores_a_library(work: Path, folder: Path, tmp_path: Path) -> None:
    before = contents(folder)
    done = command("tag", work / "model", folder, "--xmp", "--out", tmp_path / "t.jsonl", "--all")
    assert "left as it is" in done.stderr
    after = contents(folder)
    assert len(after) == 20  # every design has a sidecar
    identity = ModelFolder.open(work / "model").identity
    name = sorted(before)[0]
    marks = read_keywords(folder / name).machine
    assert {mark.model for mark in marks} == {identity}
    lines = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text().splitlines()]
    assert {mark.tag: mark.score for mark in marks} == {
        tag["tag"]: round(tag["score"], 4) for tag in lines[0]["tags"]
    }
    some = json.loads(command("untag", folder, "--below", 0.5, "--json").stdout)
    assert 0 < some["tags"] < sum(len(line["tags"]) for line in lines)
    assert some["failed"] == 1
    assert some["by_model"] == {identity: some["tags"]}
    assert all(mark.score >= 0.5 for mark in read_keywords(folder / name).machine)
    assert json.loads(command("untag", folder, "--model", "another", "--json").stdout)["tags"] == 0
    rest = command("untag", folder, "--model", work / "model")
    assert "tags taken back from" in rest.stdout
    assert contents(folder) == before


def test_one_tag_is_taken_back(work: Path, folder: Path) -> None:
    model = hangtag.load_model(work / "model")
    for _ in model.tag_each([folder], all_tags=True, xmp=True):
        pass
    name = model.vocabulary.names[0]
    found = hangtag.untag([folder], model=model, tags=[name.upper()])
    assert (found.designs, found.untagged, found.tags, found.edited) == (10, 9, 9, 0)
    image = min(folder.glob("*.png"))
    assert name not in {mark.tag for mark in read_keywords(image).machine}
    assert len(read_keywords(image).machine) == len(model.vocabulary) - 1


def test_an_unreadable_sidecar_does_not_keep_the_tags_in_the_file(
    work: Path, folder: Path, tmp_path: Path
) -> None:
    before = contents(folder)
    model = hangtag.load_model(work / "model")
    model.tag_library([folder], tmp_path / "t.jsonl", all_tags=True, xmp="embed")
    found = hangtag.untag([folder])
    assert (found.untagged, found.failed) == (10, 1)
    assert contents(folder) == before


def test_designs_must_be_on_this_machine() -> None:
    with pytest.raises(ConfigError, match=r"s3://library/a\.png is not on it"):
        untag_library([Located("a.png", "s3://library/a.png")], Which())
