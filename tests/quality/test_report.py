"""report.html of a model trained here: complete, self-contained, safe."""

import html
import re
import shutil
from copy import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hangtag.library.catalog import Catalog
from hangtag.library.vocabulary import Vocabulary
from hangtag.quality.evaluate import Evaluation, evaluate
from hangtag.quality.plots import precision_recall
from hangtag.quality.report import Confusion, confusions, write_report
from hangtag.quality.scoring import Scored


@pytest.fixture(scope="module")
def evaluated(work: Path) -> tuple[Evaluation, Scored]:
    return evaluate(work / "model", work / "dataset")


@pytest.fixture(scope="module")
def page(evaluated: tuple[Evaluation, Scored]) -> str:
    return write_report(*evaluated).read_text(encoding="utf-8")


def test_the_headline_says_what_was_measured(
    page: str, evaluated: tuple[Evaluation, Scored]
) -> None:
    figures = evaluated[0].figures
    assert f"<strong>{100 * figures['micro_precision']:.0f} of 100</strong>" in page
    assert f"<strong>{100 * figures['micro_recall']:.0f} of 100</strong>" in page
    assert f"{100 * figures['tag_nothing_accuracy']:.1f} %" in page
    assert f"<strong>{figures['macro_map']:.3f}</strong>" in page


def test_it_is_one_file_that_asks_for_nothing(page: str) -> None:
    assert re.findall(r'(?:src|href)="(?!data:|#)', page) == []
    assert "url(http" not in page
    assert page.count("<svg") == 3
    assert page.count("<img") > 12
    assert "default-src 'none'" in page


def test_every_tag_has_its_row(page: str, evaluated: tuple[Evaluation, Scored]) -> None:
    for row in evaluated[0].per_tag:
        assert f"<tr><td>{row['tag']}</td><td>{row['designs']}</td>" in page


def test_names_in_other_languages_stand_below_the_tag(
    evaluated: tuple[Evaluation, Scored], work: Path, tmp_path: Path
) -> None:
    evaluation, scored = evaluated
    folder = scored.tagger.folder
    named = folder.vocabulary.with_names({"red": {"de": "rot <i>", "ar": "أحمر"}})
    tagger = copy(scored.tagger)
    tagger.vocabulary = named
    page = write_report(evaluation, replace(scored, tagger=tagger), tmp_path / "report.html")
    row = re.search(r"<tr><td>red<small>(.*?)</small></td>", page.read_text(encoding="utf-8"))
    assert row is not None
    assert '<i>ar</i> <bdi lang="ar">أحمر</bdi>' in row[1]
    assert '<bdi lang="de">rot &lt;i&gt;</bdi>' in row[1]


def test_names_with_markup_stay_text(work: Path, tmp_path: Path) -> None:
    bad = "<script>alert(1)</script>"
    shutil.copytree(work / "model", tmp_path / "m")
    shutil.copytree(work / "dataset", tmp_path / "d")
    for folder in ("m", "d"):
        path = tmp_path / folder / "tags.json"
        vocabulary = Vocabulary.read(path)
        tags = tuple(replace(t, name=bad) if t.name == "red" else t for t in vocabulary.tags)
        replace(vocabulary, tags=tags).write(path)
    catalog = Catalog.read(tmp_path / "d" / "designs.jsonl")
    rows = tuple(replace(d, image=f"{bad}{n}.png") for n, d in enumerate(catalog))
    replace(catalog, designs=rows).write(tmp_path / "d" / "designs.jsonl")
    page = write_report(*evaluate(tmp_path / "m", tmp_path / "d")).read_text()
    assert bad not in page
    assert html.escape(bad) in page
    assert page.count("<script>") == 1


@pytest.mark.parametrize("name", ["$$", "$_$", "_new", "a $ b"])
def test_any_name_can_stand_in_a_legend(name: str) -> None:
    labels = np.array([1, 0, 1], np.int8)
    drawn = precision_recall([(name, np.array([0.9, 0.2, 0.4], np.float32), labels)], [])
    assert html.escape(name) in drawn


def test_confusions_count_designs_that_got_another_tag_instead(
    evaluated: tuple[Evaluation, Scored],
) -> None:
    scored = evaluated[1]
    limits = scored.tagger.thresholds
    scores, labels = np.zeros((4, 9), np.float32), np.zeros((4, 9), np.int8)
    labels[:, 0] = 1
    scores[:3, 1] = limits[1] + 0.001  # the first tag missed and the second one suggested instead
    scores[3, 0] = 1
    found = list(confusions(replace(scored, scores=scores, labels=labels)))
    names = scored.tagger.vocabulary.names
    assert found == [Confusion(names[0], names[1], 3, 4)]
