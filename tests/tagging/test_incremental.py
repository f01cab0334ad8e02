"""A second run tags only what is new or changed, and gives what a first run would."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import hangtag
from hangtag.api import Model
from hangtag.library.catalog import Catalog
from hangtag.library.keywords.xmp import read_keywords
from hangtag.tagging import bulk, incremental, seen
from hangtag.tagging.output import SUFFIXES
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
    run_library = incremental.run_library

    def noted(model: Path, designs: list, *rest: object, **options: object) -> object:
        found.append([Path(one.location).name for one in designs])
        return run_library(model, designs, *rest, **options)

    monkeypatch.setattr(incremental, "run_library", noted)
    return found


@pytest.mark.parametrize("suffix", SUFFIXES)
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
        "no record": lambda: seen.forget(out),
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


def test_metadata_that_could_not_be_written_is_tried_again(
    model: Model, folder: Path, runs: list[list[str]], tmp_path: Path
) -> None:
    out, (first, *_) = tmp_path / "tags.jsonl", sorted(folder.glob("*.png"))
    first.chmod(0o444)
    found = model.tag_library([folder], out, all_tags=True, xmp="embed")
    assert (found.tagged, found.unwritten) == (8, 1)
    assert read_keywords(first).machine == []
    first.chmod(0o644)
    tag = {"all_tags": True, "xmp": "embed"}
    assert model.tag_library([folder], out, **tag).unwritten == 0
    assert runs[1:] == [[first.name]]
    assert read_keywords(first).machine
    model.tag_library([folder], out, **tag)
    assert len(runs) == 2


class Killed(BaseException):
    """What a killed process does not get to catch."""


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_a_killed_run_tagged_is_not_tagged_again_when_designs_are_added(
    library: Catalog, model: Model, folder: Path, runs: list[list[str]], suffix: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    out = folder.parent / f"tags{suffix}"
    shutil.copy(library.location(library.designs[30]), folder / "a.png")
    tag_designs = bulk.tag_designs
    killed_after = {"designs": 3}

    def killed(*arguments: object, **options: object) -> Iterator[object]:
        for number, design in enumerate(tag_designs(*arguments, **options)):
            if number == killed_after["designs"]:
                raise Killed
            yield design

    monkeypatch.setattr(bulk, "tag_designs", killed)
    for number in (31, 32):  # a first run, then one of what is new
        with pytest.raises(Killed):
            model.tag_library([folder], out, workers=1, xmp="embed")
        shutil.copy(library.location(library.designs[number]), folder / f"new{number}.png")
    killed_after["designs"] = 99
    changed = sorted(folder.glob("*.png"))[0]
    shutil.copy(library.location(library.designs[33]), changed)
    found = model.tag_library([folder], out, workers=1, xmp="embed")
    assert [len(run) for run in runs] == [10, 8, 7]
    assert set(runs[2]) >= {"new31.png", "new32.png", changed.name}
    assert (found.tagged, found.rejected) == (11, {"unreadable": 1})
    assert hangtag.untag([folder]).failed == 0
    fresh = folder.parent / f"fresh{suffix}"
    model.tag_library([folder], fresh, workers=1)
    assert out.read_bytes() == fresh.read_bytes()
    hidden = {f".{name}{suffix}.seen" for name in ("tags", "fresh")}
    assert {path.name for path in folder.parent.iterdir()} - {out.name, fresh.name, *hidden} <= {
        "designs", "tags.rejected.csv", "fresh.rejected.csv"
    }  # fmt: skip
