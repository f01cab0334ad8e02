"""Tagging a library from the command line to the files, with a model trained here."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hangtag.errors import ConfigError, ModelError
from hangtag.library.catalog import Catalog
from hangtag.library.keywords.xmp import read_keywords
from hangtag.library.vocabulary import Vocabulary
from hangtag.storage.locks import only_writer
from hangtag.tagging.bulk import run_library
from hangtag.tagging.designs import Located, find_designs
from hangtag.tagging.incremental import tag_changed
from hangtag.tagging.selection import Selection
from hangtag.tagging.tagger import Tagger
from tests import commands


def hangtag(*arguments: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    return commands.hangtag(*arguments, check=check)


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_one_line_per_design_best_tag_first(library: Catalog, work: Path, tmp_path: Path) -> None:
    out = tmp_path / "tags.jsonl"
    done = hangtag("tag", work / "model", library.root / "designs.csv", "--out", out, "--all")
    assert "tags on 160 designs" in done.stdout
    answers = lines(out)
    assert [answer["image"] for answer in answers] == [design.image for design in library]
    names = set(Tagger.open(work / "model").vocabulary.names)
    for answer in answers:
        assert {tag["tag"] for tag in answer["tags"]} == names
        scores = [tag["score"] for tag in answer["tags"]]
        assert scores == sorted(scores, reverse=True)
        assert 0 <= scores[-1] <= scores[0] <= 1
    right = sum(
        answer["tags"][0]["tag"] in design.tags
        for answer, design in zip(answers, library, strict=True)
    )
    assert right > 100  # it did learn something


def test_bulk_tagging_agrees_with_the_tagger(library: Catalog, work: Path, tmp_path: Path) -> None:
    paths = [Path(library.location(design)) for design in library.designs[:5]]
    tag_changed(work / "model", find_designs(paths), tmp_path / "t.jsonl", Selection(all=True))
    expected = Tagger.open(work / "model").tag(paths)
    for answer, suggestions in zip(lines(tmp_path / "t.jsonl"), expected, strict=True):
        for tag, suggestion in zip(answer["tags"], suggestions, strict=True):
            assert tag["tag"] == suggestion.tag
            assert tag["score"] == pytest.approx(suggestion.score, abs=1e-6)


def test_selections(library: Catalog, work: Path) -> None:
    tagger = Tagger.open(work / "model")
    scores = tagger.scores(
        [tagger.input_of(Path(library.location(library.designs[0])).read_bytes())]
    )[0]
    by_threshold = Selection().of(tagger, scores)
    limits = dict(zip(tagger.vocabulary.names, tagger.thresholds, strict=True))
    assert {s.tag for s in by_threshold} == {
        n for n, score in zip(tagger.vocabulary.names, scores, strict=True) if score >= limits[n]
    }
    assert len(Selection(top=3).of(tagger, scores)) == 3
    assert all(s.score >= 0.2 for s in Selection(min_score=0.2).of(tagger, scores))
    assert len(Selection(all=True).of(tagger, scores)) == len(scores)


def with_tags(work: Path, folder: Path, **changes: dict) -> Path:
    """Copy the model and change what tags.json says of some tags."""
    shutil.copytree(work / "model", folder)
    vocabulary = Vocabulary.read(folder / "tags.json")
    tags = tuple(replace(tag, **changes.get(tag.name, {})) for tag in vocabulary.tags)
    replace(vocabulary, tags=tags).write(folder / "tags.json")
    return folder


def test_suggestions_are_marked(library: Catalog, work: Path, tmp_path: Path) -> None:
    sure, unsure, none = (
        {"threshold": low, "apply_threshold": high}
        for low, high in ((0.0, 0.0), (0.0, None), (1.1, None))
    )
    model = with_tags(work, tmp_path / "m", red=sure, disc=unsure, blue=none)
    image = library.location(library.designs[0])
    answer = json.loads(hangtag("tag", model, image, "--all").stdout)
    marks = {tag["tag"]: tag.get("mark") for tag in answer["tags"]}
    assert (marks["red"], marks["disc"], marks["blue"]) == ("apply", "suggest", None)
    hangtag("tag", model, image, "--out", tmp_path / "t.csv")
    with (tmp_path / "t.csv").open(newline="") as file:
        row = next(csv.DictReader(file))
    assert row["apply"] == "red"
    assert {"red", "disc"} <= set(row["tags"].split(";"))


def test_implications_hold_at_tagging_time(library: Catalog, work: Path, tmp_path: Path) -> None:
    """A ring is a disc: never scored below, and suggested with it whatever its own threshold."""
    changes = {"implies": ("disc",), "threshold": 0.0, "apply_threshold": 0.0}
    model = with_tags(work, tmp_path / "m", ring=changes, disc={"threshold": 0.999})
    tagger = Tagger.open(model)
    images = [Path(library.location(design)) for design in library.designs[:20]]
    for suggestions in tagger.tag(images):
        found = {s.tag: s for s in suggestions}
        assert found["disc"].score >= found["ring"].score
        assert found["disc"].mark == "apply"
    scores = tagger.scores([tagger.input_of(images[0].read_bytes())])[0]
    assert {"ring", "disc"} <= {s.tag for s in Selection().of(tagger, scores)}


def test_bad_files_are_listed_and_the_rest_is_tagged(
    library: Catalog, work: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "new"
    folder.mkdir()
    shutil.copy(library.location(library.designs[0]), folder / "good.png")
    (folder / "bad.png").write_text("no image")
    (folder / "readme.txt").write_text("no design")
    done = hangtag("tag", work / "model", folder, "--out", tmp_path / "t.csv", "--top", 2)
    assert "unreadable: 1 unreadable" in done.stdout
    with (tmp_path / "t.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [Path(row["image"]).name for row in rows] == ["good.png"]
    assert len(rows[0]["tags"].split(";")) == len(rows[0]["scores"].split(";")) == 2
    with (tmp_path / "t.rejected.csv").open(newline="") as file:
        assert [Path(row["image"]).name for row in csv.DictReader(file)] == ["bad.png"]


def test_xmp_sidecars_gain_tags_and_lose_none(library: Catalog, work: Path, tmp_path: Path) -> None:
    image = tmp_path / "a.png"
    shutil.copy(library.location(library.designs[0]), image)
    image.with_name("a.png.xmp").write_text(
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description'
        ' xmlns:dc="http://purl.org/dc/elements/1.1/" dc:subject="mine, by hand"/></rdf:RDF>'
    )
    done = hangtag("tag", work / "model", image, "--xmp", "--top", 2)
    suggested = [tag["tag"] for tag in json.loads(done.stdout)["tags"]]
    found = read_keywords(image)
    assert found.tags == ["mine", "by hand"]
    assert [mark.tag for mark in found.machine] == suggested
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    hangtag("tag", work / "model", image, "--xmp", "--top", 2)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_sidecars_are_for_designs_on_this_machine(work: Path, tmp_path: Path) -> None:
    designs = [Located("a.png", "s3://library/a.png")]
    with pytest.raises(ConfigError, match=r"s3://library/a\.png is not on this machine"):
        tag_changed(work / "model", designs, tmp_path / "tags.jsonl", Selection(), xmp=True)
    assert not list(tmp_path.iterdir())


def test_a_killed_run_resumes(library: Catalog, work: Path, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(6):
        for design in library:
            (folder / f"{number}-{design.image}").symlink_to(library.location(design))
    calm, killed = tmp_path / "calm.jsonl", tmp_path / "killed.jsonl"
    hangtag("tag", work / "model", folder, "--out", calm)
    command = [sys.executable, "-m", "hangtag", "tag", str(work / "model"), str(folder)]
    journal = tmp_path / ".killed.jsonl.part"
    with subprocess.Popen(
        [*command, "--out", str(killed), "--quiet"], start_new_session=True
    ) as process:
        while process.poll() is None and not (journal.exists() and journal.stat().st_size > 9000):
            time.sleep(0.005)
        os.killpg(process.pid, signal.SIGKILL)
    assert not killed.exists()
    with journal.open("a") as file:
        file.write('{"image": "half a li')  # what a kill within a write leaves
    done = hangtag("tag", work / "model", folder, "--out", killed)
    assert "resuming: an earlier run tagged" in done.stderr
    assert killed.read_bytes() == calm.read_bytes()
    assert not journal.exists()


def test_what_is_not_a_model_folder(work: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is not a model folder"):
        Tagger.open(tmp_path)
    shutil.copytree(work / "model", tmp_path / "m")
    (tmp_path / "m" / "model.onnx").write_bytes(b"damaged")
    with pytest.raises(ModelError, match=r"model\.onnx cannot be loaded"):
        Tagger.open(tmp_path / "m")
    (tmp_path / "m" / "config.json").write_text('{"format": 99}')
    done = hangtag("tag", tmp_path / "m", work / "dataset" / "tags.json", check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "has format 99, this hangtag reads 1" in done.stderr


def test_an_output_without_a_tag_is_known_again(
    library: Catalog, work: Path, tmp_path: Path
) -> None:
    model = with_tags(
        work,
        tmp_path / "m",
        **{name: {"threshold": 2.0} for name in Vocabulary.read(work / "model/tags.json").names},
    )
    out, found = tmp_path / "t.jsonl", find_designs([Path(library.location(library.designs[0]))])
    assert tag_changed(model, found, out, Selection()).suggestions == 0
    assert lines(out) == [{"image": found[0].name, "tags": [], "by": "model"}]
    assert tag_changed(model, [], out, Selection()).tagged == 0


ODD_NAMES = ("heart; love", 'say "hi"', "red, hat", "a|b")


def test_odd_tag_names_are_read_back(library: Catalog, work: Path, tmp_path: Path) -> None:
    names = Vocabulary.read(work / "model/tags.json").names
    renamed = {name: {"name": odd} for name, odd in zip(names, ODD_NAMES, strict=False)}
    model = with_tags(work, tmp_path / "m", **renamed)
    image = tmp_path / "a.png"
    shutil.copy(library.location(library.designs[0]), image)
    tag_changed(model, [Located("a.png", str(image))], tmp_path / "t.csv", Selection(all=True))
    expected = {*ODD_NAMES, *names[len(ODD_NAMES) :]}
    with (tmp_path / "t.csv").open(newline="") as file:
        row = next(csv.DictReader(file))
    assert set(next(csv.reader([row["tags"]], delimiter=";"))) == expected
    assert set(Catalog.read(tmp_path / "t.csv").designs[0].tags) == expected


def test_limits_hold_with_all(library: Catalog, work: Path) -> None:
    tagger = Tagger.open(work / "model")
    scores = np.linspace(0.05, 0.95, len(tagger.vocabulary)).astype(np.float32)
    assert len(Selection(all=True, top=3).of(tagger, scores)) == 3
    above = Selection(all=True, min_score=0.5).of(tagger, scores)
    assert len(above) == np.count_nonzero(scores >= 0.5)
    assert len(Selection(all=True, top=1, min_score=0.5).of(tagger, scores)) == 1


def test_a_second_run_does_not_write_into_the_first(
    library: Catalog, work: Path, tmp_path: Path
) -> None:
    found = find_designs([Path(library.location(library.designs[0]))])
    out = tmp_path / "tags.jsonl"
    with (
        only_writer(tmp_path / ".tags.jsonl.lock", out),
        pytest.raises(ConfigError, match=r"another hangtag process is writing .*tags\.jsonl"),
    ):
        run_library(work / "model", found, out, Selection())
    _, journal = run_library(work / "model", found, out, Selection())
    journal.path.unlink()
    assert [path.name for path in tmp_path.iterdir()] == ["tags.jsonl"]


def test_a_catalog_is_not_overwritten_by_its_own_tags(library: Catalog, work: Path) -> None:
    catalog = library.root / "designs.csv"
    before = catalog.read_bytes()
    done = hangtag("tag", work / "model", catalog, "--out", catalog, check=False)
    assert done.returncode == 1
    assert "name another file with --out" in done.stderr
    assert catalog.read_bytes() == before


def test_words_and_a_palette_are_tags_of_their_own_kinds(work: Path, tmp_path: Path) -> None:
    pytest.importorskip("rapidocr", reason="needs the ocr extra")
    svg = tmp_path / "hello.svg"
    svg.write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 60 60">'
        '<rect width="60" height="60" fill="#ff7f50"/><text y="30">Hello Summer</text></svg>'
    )
    palette = tmp_path / "colours.txt"
    palette.write_text("coral #ff7f50\nnight #0b1d3a\n")
    out = tmp_path / "tags.jsonl"
    options = ("--words", "--colours", "--palette", palette, "--min-score", 1)
    hangtag("tag", work / "model", svg, "--out", out, *options)
    tags = json.loads(out.read_text())["tags"]
    assert [(tag["tag"], tag["kind"]) for tag in tags] == [
        ("hello", "word"), ("summer", "word"), ("coral", "colour"),
    ]  # fmt: skip
    done = hangtag("tag", work / "model", svg, "--palette", palette, check=False)
    assert "--palette says which colours --colours finds" in done.stderr


def test_colours_are_tags_of_their_own_kind(library: Catalog, work: Path, tmp_path: Path) -> None:
    """A colour that the model suggests too is not listed twice."""
    designs = find_designs([Path(library.location(one)) for one in library.designs[:20]])
    out = tmp_path / "tags.jsonl"
    kinds: list[set[str | None]] = []
    for least in (0.5, 1.0):
        selection = Selection(min_score=least, colours=True)
        tag_changed(work / "model", designs, out, selection, workers=1)
        found = [json.loads(line) for line in out.read_text().splitlines()]
        kinds.append({tag.get("kind") for line in found for tag in line["tags"]})
        for line, design in zip(found, library, strict=False):
            names = [tag["tag"] for tag in line["tags"]]
            assert len(names) == len(set(names))
            assert design.tags[1] in names  # its colour, by either
    assert None in kinds[0]
    assert kinds[1] == {"colour"}
