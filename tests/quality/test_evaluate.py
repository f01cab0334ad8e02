"""Evaluation, comparison and report of a model trained here, on designs it has not seen."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from hangtag import __version__
from hangtag.dataset.config import PackConfig
from hangtag.dataset.dataset_folder import Dataset, DatasetInfo
from hangtag.dataset.pack import pack
from hangtag.dataset.recordio import RecordWriter
from hangtag.errors import DatasetError
from hangtag.library.catalog import Catalog, Design
from hangtag.quality.compare import compare
from hangtag.quality.compare import table_lines as compared_lines
from hangtag.quality.evaluate import _remember, evaluate, read_evaluations, table_lines
from hangtag.quality.report import write_report
from tests.commands import hangtag


def test_evaluation_measures_the_model_that_ships(work: Path) -> None:
    evaluation, _ = evaluate(work / "model", work / "dataset")
    assert evaluation.split == "test"
    figures = evaluation.figures
    assert figures["macro_map_low"] < figures["macro_map"] < figures["macro_map_high"]
    assert figures["designs"] == 24
    assert figures["tags"] == 9
    assert figures["macro_map"] > 0.4
    assert 0.7 < figures["tag_nothing_accuracy"] < 0.85  # two of nine tags on each design
    said = json.loads(
        hangtag("evaluate", work / "model", work / "dataset", "--json", check=True).stdout
    )
    for name in ("macro_map", "micro_map", "accuracy", "tag_nothing_accuracy", "designs", "tags"):
        assert said[name] == pytest.approx(figures[name], abs=1e-9)
    shown = "\n".join(table_lines(evaluation))
    assert "tagging nothing" in shown
    evaluate(work / "model", work / "dataset", split="validation")
    splits = [one["split"] for one in read_evaluations(work / "model")]
    assert sorted(splits) == ["test", "validation"]


def test_evaluation_matches_tags_by_name(library: Catalog, work: Path, tmp_path: Path) -> None:
    """The dataset was packed again with fewer tags, in another order: same scores, same AP."""
    folder = Dataset.open(work / "dataset")
    kept = [n for n, name in enumerate(folder.vocabulary.names) if name not in ("bar", "blue")][
        ::-1
    ]
    target = tmp_path / "d" / "test" / "test.rec"
    with folder.records("test") as records, RecordWriter(target) as writer:
        for record in records:
            writer.write(record.key, record.labels[kept], record.data, id=record.id)
    shutil.copytree(work / "dataset" / "training", tmp_path / "d" / "training")
    shutil.copy(work / "dataset" / "designs.jsonl", tmp_path / "d")
    tags = tuple(folder.vocabulary.tags[n] for n in kept)
    replace(folder.vocabulary, tags=tags).write(tmp_path / "d" / "tags.json")
    DatasetInfo(size=48, pack="again").write(tmp_path / "d")
    again = {row["tag"]: row for row in evaluate(work / "model", tmp_path / "d")[0].per_tag}
    for row in evaluate(work / "model", work / "dataset")[0].per_tag:
        if row["tag"] in ("bar", "blue"):
            assert again[row["tag"]]["average_precision"] is None
        else:
            assert np.isclose(again[row["tag"]]["average_precision"], row["average_precision"])


def test_a_damaged_metrics_file_costs_no_evaluation(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = shutil.copytree(work / "model", tmp_path / "model")
    (model / "metrics.json").write_text('{"validation": ')
    evaluate(model, work / "dataset")
    assert [one["split"] for one in read_evaluations(model)] == ["test"]
    assert "metrics.json is damaged: it will be replaced" in capsys.readouterr().err


@pytest.fixture
def other(library: Catalog, tmp_path: Path) -> Path:
    """A second dataset of the same tags."""
    pack(
        Catalog(library.designs[:80], library.root),
        tmp_path / "other designs",
        PackConfig(size=48, min_count=3, split="60/20/20"),
    )
    return tmp_path / "other designs"


def test_every_dataset_keeps_its_own_figures(work: Path, other: Path, tmp_path: Path) -> None:
    model = shutil.copytree(work / "model", tmp_path / "model")
    (model / "metrics.json").unlink(missing_ok=True)
    first, _ = evaluate(model, work / "dataset")
    second, scored = evaluate(model, other)
    shutil.copytree(other, tmp_path / "moved")
    evaluate(model, tmp_path / "moved")  # the same, elsewhere: it replaces `other`
    evaluate(model, other, split="validation")
    found = read_evaluations(model)
    assert [(one["dataset"]["name"], one["split"]) for one in found] == [
        ("dataset", "test"), ("moved", "test"), ("other designs", "validation"),
    ]  # fmt: skip
    assert found[0]["macro_map"] == first.figures["macro_map"]
    assert found[1]["macro_map"] == second.figures["macro_map"] != first.figures["macro_map"]
    for one in found:
        assert one["hangtag"] == __version__
        assert datetime.fromisoformat(one["when"]).tzinfo is not None
    assert found[0]["dataset"] == {
        "name": "dataset",
        "path": str((work / "dataset").resolve()),
        "fingerprint": Dataset.open(work / "dataset").fingerprint(),
        "designs": {"train": 112, "validation": 24, "test": 24},
    }
    assert "16 test designs of other designs, 9 tags" in "\n".join(table_lines(second))
    page = write_report(second, scored).read_text()
    assert "a dataset that the model was not trained on" in page
    assert ">other designs</span>" in page.partition("Other evaluations")[0]
    assert ">dataset</span>" in page.partition("Other evaluations")[2]
    same = compare(model, model, other)
    assert same.dataset.name == "other designs"
    assert "16 test designs of other designs" in "\n".join(compared_lines(same))


def test_figures_of_an_earlier_hangtag_are_kept(work: Path, tmp_path: Path) -> None:
    model = shutil.copytree(work / "model", tmp_path / "model")
    old = {"split": "test", "macro_map": 0.5, "designs": 3, "per_tag": []}
    (model / "metrics.json").write_text(json.dumps({"test": old}))
    evaluation, scored = evaluate(model, work / "dataset")
    found = read_evaluations(model)
    assert found == [{**old, "dataset": None}, evaluation.as_json()]
    assert ">not recorded<" in write_report(evaluation, scored).read_text()


def test_figures_of_a_format_to_come_are_not_overwritten(work: Path, tmp_path: Path) -> None:
    model = shutil.copytree(work / "model", tmp_path / "model")
    (model / "metrics.json").write_text('{"format": 3, "evaluations": []}')
    with pytest.raises(DatasetError, match="has format 3, this hangtag reads 2"):
        evaluate(model, work / "dataset")
    assert json.loads((model / "metrics.json").read_text())["format"] == 3


def test_evaluations_at_the_same_time_are_all_kept(work: Path, tmp_path: Path) -> None:
    evaluation, _ = evaluate(work / "model", work / "dataset")
    parts = [replace(evaluation, split=f"part {number}") for number in range(24)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(partial(_remember, tmp_path / "metrics.json"), parts))
    assert {one["split"] for one in read_evaluations(tmp_path)} == {one.split for one in parts}


def test_unknown_is_left_out_of_reviewed_tags(library: Catalog, work: Path, tmp_path: Path) -> None:
    """Reviewed: every disc is no cross. The other designs say nothing about `cross` then."""
    rows = tuple(Design(d.image, d.tags, ("cross",) if "disc" in d.tags else ()) for d in library)
    pack(Catalog(rows, library.root), tmp_path / "d", PackConfig(size=48, min_count=3, split="1/1"))
    folder = Dataset.open(tmp_path / "d")
    cross = folder.judged_labels("validation")[:, folder.vocabulary.names.index("cross")]
    assert set(np.unique(cross)) == {-1, 0, 1}
    evaluation, scored = evaluate(work / "model", tmp_path / "d", split="validation")
    figures = evaluation.figures
    assert figures["macro_map"] > figures["macro_map_unknown_as_no"]  # fewer designs to beat
    assert "with unknown as no" in "\n".join(table_lines(evaluation))
    assert (scored.labels < 0).any()
