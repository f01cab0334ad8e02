"""A second run tags only what is new or changed, and gives what a first run would."""

import json
import os
import shutil
from pathlib import Path

import pytest

import hangtag
from hangtag.api import Model
from hangtag.library.catalog import Catalog
from hangtag.library.keywords.xmp import read_keywords
from hangtag.tagging import incremental
from tests.commands import hangtag as command
from tests.tagging.test_bulk import with_tags


@pytest.fixture
def folder(library: Catalog, tmp_path: Path) -> Path:
    folder = tmp_path / "designs"
    folder.mkdir()
    for design in library.designs[:8]:
        shutil.copy(library.location(design), folder)
    (folder / "broken.png").write_text("no image")
    return folder


@pytest.fixture
def model(work: Path) -> Model:
    return hangtag.load_model(work / "model")


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The names of the designs of each run that tags some."""
    found: list[list[str]] = []
    tag_library = incremental.tag_library

    def noted(model: Path, designs: list, *rest: object, **options: object) -> object:
        found.append([Path(one.location).name for one in designs])
        return tag_library(model, designs, *rest, **options)

    monkeypatch.setattr(incremental, "tag_library", noted)
    return found


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_only_what_is_new_or_changed_is_tagged(
    library: Catalog, model: Model, folder: Path, runs: list[list[str]], suffix: str
) -> None:
    out = folder.parent / f"tags{suffix}"
    first = model.tag_library([folder], out)
    before = out.read_bytes()
    assert (first.tagged, first.unchanged, first.rejected) == (8, 0, {"unreadable": 1})
    again = model.tag_library([folder], out)
    assert (again.tagged, again.suggestions) == (8, first.suggestions)
    assert (again.unchanged, again.rejected) == (9, {"unreadable": 1})
    assert (out.read_bytes(), len(runs)) == (before, 1)

    changed, gone = sorted(folder.glob("*.png"))[1:3]
    shutil.copy(library.location(library.designs[20]), changed)
    gone.unlink()
    shutil.copy(library.location(library.designs[21]), folder / "new.png")
    shutil.copy(library.location(library.designs[22]), folder / "broken.png")
    third = model.tag_library([folder], out)
    assert sorted(runs[-1]) == sorted(["new.png", changed.name, "broken.png"])
    assert (third.tagged, third.unchanged, third.rejected) == (9, 6, {})
    fresh = folder.parent / f"fresh{suffix}"
    model.tag_library([folder], fresh)
    assert out.read_bytes() == fresh.read_bytes()
    assert not out.with_suffix(".rejected.csv").exists()
    hidden = {f".{name}{suffix}.seen" for name in ("tags", "fresh")}
    assert {path.name for path in folder.parent.iterdir()} == {
        "designs", out.name, fresh.name, *hidden
    }  # fmt: skip


def test_another_model_option_or_output_tags_everything(
    work: Path, model: Model, folder: Path, runs: list[list[str]], tmp_path: Path
) -> None:
    out = tmp_path / "tags.jsonl"
    model.tag_library([folder], out)
    model.tag_library([folder], out, top=2)
    hangtag.load_model(with_tags(work, tmp_path / "m", red={"threshold": 0.9})).tag_library(
        [folder], out, top=2
    )
    assert [len(run) for run in runs] == [9, 9, 9]
    changes = {
        "another time": lambda: os.utime(out, ns=(0, out.stat().st_mtime_ns + 10**9)),
        "no record": lambda: incremental.forget(out),
        "damaged record": lambda: (tmp_path / ".tags.jsonl.seen").write_text("damaged"),
        "no output": lambda: out.unlink(),
    }
    model.tag_library([folder], out)
    for name, change in changes.items():
        runs.clear()
        change()
        model.tag_library([folder], out)
        assert [len(run) for run in runs] == [9], name
    model.tag_library([folder], out, again=True)
    assert [len(run) for run in runs] == [9, 9]


def test_what_a_person_edited_is_not_replaced(model: Model, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "tags.jsonl"
    model.tag_library([folder], out)
    out.write_text('{"image": "a.png", "tags": ["mine"]}\n')
    with pytest.raises(hangtag.ConfigError, match="was not written by"):
        model.tag_library([folder], out)


def test_embedded_tags_are_no_change(
    model: Model, folder: Path, runs: list[list[str]], tmp_path: Path
) -> None:
    out = tmp_path / "tags.jsonl"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for _ in range(2):
        model.tag_library([folder], out, all_tags=True, xmp="embed")
    assert len(runs) == 1
    (broken,) = (path for path in folder.iterdir() if path.name == "broken.png")
    others = [path for path in folder.glob("*.png") if path != broken]
    assert all(read_keywords(path).machine for path in others)
    assert hangtag.untag([folder]).untagged == len(others)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_the_command_says_what_was_unchanged(work: Path, folder: Path, tmp_path: Path) -> None:
    arguments = ("tag", work / "model", folder, "--out", tmp_path / "tags.jsonl")
    command(*arguments)
    assert "9 designs unchanged since the last run" in command(*arguments).stdout
    assert "unchanged" not in command(*arguments, "--again").stdout
    assert json.loads(command(*arguments, "--json").stdout)["unchanged"] == 9
