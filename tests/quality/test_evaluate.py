"""Evaluation, comparison and report of a model trained here, on designs it has not seen."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hangtag.dataset.config import PackConfig
from hangtag.dataset.dataset_folder import DatasetFolder, DatasetInfo
from hangtag.dataset.pack import pack
from hangtag.dataset.recordio import RecordWriter
from hangtag.library.catalog import Catalog, Design
from hangtag.quality.evaluate import evaluate, table_lines


def hangtag(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hangtag", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True)


def test_evaluation_measures_the_model_that_ships(work: Path) -> None:
    evaluation, _ = evaluate(work / "model", work / "dataset")
    assert evaluation.split == "test"
    figures = evaluation.figures
    assert figures["macro_map_low"] < figures["macro_map"] < figures["macro_map_high"]
    assert figures["designs"] == 24
    assert figures["tags"] == 9
    assert figures["macro_map"] > 0.4
    assert 0.7 < figures["tag_nothing_accuracy"] < 0.85  # two of nine tags on each design
    said = json.loads(hangtag("evaluate", work / "model", work / "dataset", "--json").stdout)
    for name in ("macro_map", "micro_map", "accuracy", "tag_nothing_accuracy", "designs", "tags"):
        assert said[name] == pytest.approx(figures[name], abs=1e-9)
    shown = "\n".join(table_lines(evaluation))
    assert "tagging nothing" in shown
    evaluate(work / "model", work / "dataset", split="validation")
    assert set(json.loads((work / "model" / "metrics.json").read_text())) == {"test", "validation"}


def test_evaluation_matches_tags_by_name(library: Catalog, work: Path, tmp_path: Path) -> None:
    """The dataset was packed again with fewer tags, in another order: same scores, same AP."""
    folder = DatasetFolder.open(work / "dataset")
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
    assert set(json.loads((model / "metrics.json").read_text())) == {"test"}
    assert "metrics.json was damaged: written anew" in capsys.readouterr().err


def test_unknown_is_left_out_where_people_reviewed(
    library: Catalog, work: Path, tmp_path: Path
) -> None:
    """Reviewed: every disc is no cross. The other designs say nothing about `cross` then."""
    rows = tuple(Design(d.image, d.tags, ("cross",) if "disc" in d.tags else ()) for d in library)
    pack(Catalog(rows, library.root), tmp_path / "d", PackConfig(size=48, min_count=3, split="1/1"))
    folder = DatasetFolder.open(tmp_path / "d")
    cross = folder.judged_labels("validation")[:, folder.vocabulary.names.index("cross")]
    assert set(np.unique(cross)) == {-1, 0, 1}
    evaluation, scored = evaluate(work / "model", tmp_path / "d", split="validation")
    figures = evaluation.figures
    assert figures["macro_map"] > figures["macro_map_unknown_as_no"]  # fewer designs to beat
    assert "with unknown as no" in "\n".join(table_lines(evaluation))
    assert (scored.labels < 0).any()
