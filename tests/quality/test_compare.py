"""Two models on one test part: their difference, and whether it is more than chance."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hangtag.cli.app import run
from hangtag.dataset.dataset_folder import Dataset
from hangtag.errors import DatasetError
from hangtag.library.vocabulary import Vocabulary
from hangtag.quality import metrics
from hangtag.quality.bootstrap import interval, resample
from hangtag.quality.compare import compare, table_lines
from hangtag.quality.scoring import score
from hangtag.tagging.tagger import Tagger
from hangtag.training.config import TrainConfig
from hangtag.training.train import train


@pytest.fixture(scope="module")
def poor(work: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("poor") / "model"
    train(
        work / "dataset",
        folder,
        TrainConfig(backbone="test_resnet", input_size=32, epochs=1, precision="fp32"),
    )
    return folder


def test_a_model_beside_itself_does_not_differ(work: Path) -> None:
    same = compare(work / "model", work / "model", work / "dataset")
    assert same.macro_map.a == same.macro_map.b
    assert (same.macro_map.low, same.macro_map.high) == (0.0, 0.0)
    assert not any(tag.real for tag in same.per_tag)
    assert "may be chance" in "\n".join(table_lines(same))


def test_a_trained_model_beats_one_that_hardly_is(work: Path, poor: Path) -> None:
    found = compare(poor, work / "model", work / "dataset")
    assert found.macro_map.low > 0
    assert found.macro_map.low < found.macro_map.b - found.macro_map.a < found.macro_map.high
    assert any(tag.low > 0 for tag in found.per_tag)
    folder = Dataset.open(work / "dataset")
    for model, value in ((poor, found.macro_map.a), (work / "model", found.macro_map.b)):
        scored = score(Tagger.open(model), folder, "test")
        assert metrics.macro_map(scored.scores, scored.labels) == pytest.approx(value)


def test_pairing_narrows_the_interval(work: Path, poor: Path) -> None:
    """Drawn apart, the two models' chances would add up."""
    found = compare(poor, work / "model", work / "dataset")
    draws = []
    for seed, model in enumerate((poor, work / "model")):
        scored = score(Tagger.open(model), Dataset.open(work / "dataset"), "test")
        drawn = resample(scored.scores, scored.labels, scored.groups, seed=seed)
        draws.append(drawn.macro)
    apart = interval(draws[1] - draws[0], found.macro_map.b - found.macro_map.a)
    assert found.macro_map.high - found.macro_map.low < 1.05 * (apart[1] - apart[0])


def test_only_tags_that_both_know_are_compared(work: Path, tmp_path: Path) -> None:
    shutil.copytree(work / "model", tmp_path / "m")
    vocabulary = Vocabulary.read(tmp_path / "m" / "tags.json")
    tags = [replace(t, name=f"new {t.name}") if t.name == "red" else t for t in vocabulary.tags]
    replace(vocabulary, tags=tuple(tags)).write(tmp_path / "m" / "tags.json")
    found = compare(work / "model", tmp_path / "m", work / "dataset")
    assert "red" not in {tag.name for tag in found.per_tag}
    assert len(found.per_tag) == len(vocabulary) - 1
    tags = [replace(tag, name=f"new {tag.name}") for tag in vocabulary.tags]
    replace(vocabulary, tags=tuple(tags)).write(tmp_path / "m" / "tags.json")
    with pytest.raises(DatasetError, match="no tag in common"):
        compare(work / "model", tmp_path / "m", work / "dataset")


def test_the_command_prints_one_object(
    work: Path, poor: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["compare", str(poor), str(work / "model"), str(work / "dataset"), "--json"]
    run(arguments)
    said = json.loads(capsys.readouterr().out)
    assert said["designs"] == 24
    assert np.isfinite(said["macro_map"]["low"])
    assert len(said["per_tag"]) == 9
