"""8-bit weights and activations: what is lost is measured before anything is written."""

import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import hangtag
from hangtag.dataset.dataset_folder import Dataset
from hangtag.errors import ConfigError, ModelError
from hangtag.export import formats
from hangtag.export.onnx_file import session_of
from hangtag.quality.scoring import score
from hangtag.tagging.model_folder import ModelFolder
from hangtag.tagging.tagger import Tagger
from hangtag.training import int8, int8_loss
from tests.commands import hangtag as command


def test_a_quantised_model_is_smaller_and_says_nearly_the_same(
    headed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And where more is lost than allowed, nothing is written."""
    model, dataset = headed / "model", headed / "dataset"
    plain, eight = tmp_path / "plain.onnx", tmp_path / "int8.onnx"
    hangtag.export_model(model, plain)
    kept = []

    def judged(*arguments: Any) -> int8_loss.Quantised:
        kept.append(int8_loss.judged_in_8_bits(*arguments))
        return kept[0]

    monkeypatch.setattr(formats, "judged_in_8_bits", judged)
    found = hangtag.export_model(model, eight, int8=dataset, max_loss=0.5)
    exact, rounded = kept[0].exact.macro_map, kept[0].eight.macro_map
    assert (found.macro_map, found.macro_map_int8) == (exact, rounded)
    assert exact - rounded < 0.5
    assert eight.stat().st_size < plain.stat().st_size
    assert is_quantised(onnx.load(eight))
    images = np.random.default_rng(0).integers(0, 256, (2, 90, 70, 4), np.uint8)
    exact, rounded = (session_of(one).run(None, {"images": images})[0] for one in (plain, eight))
    assert np.abs(exact - rounded).max() < 0.2
    assert (exact != rounded).any()
    monkeypatch.setattr(formats, "judged_in_8_bits", lambda *_: kept[0])
    with pytest.raises(ConfigError, match="--max-loss"):
        hangtag.export_model(model, tmp_path / "no.onnx", int8=dataset, max_loss=-1)
    assert not (tmp_path / "no.onnx").exists()


def is_quantised(network: onnx.ModelProto) -> bool:
    kinds = [node.op_type for node in network.graph.node]
    return kinds.count("Conv") > int8.FLOAT_CONVOLUTIONS and "QuantizeLinear" in kinds


@pytest.mark.slow
def test_any_network_can_be_quantised(headed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """hangtag-base is there in 8 bits; others are quantised on training designs."""
    monkeypatch.setattr(int8, "DESIGNS", 32)
    folder, dataset = ModelFolder.open(headed / "model"), Dataset.open(headed / "dataset")
    handlers = [*logging.root.handlers]
    found = int8.quantised_on(dataset, folder)
    assert logging.root.handlers == handlers  # the quantiser adds one, which repeats all messages
    assert is_quantised(found)
    monkeypatch.setattr(int8, "FLOAT_CONVOLUTIONS", 1000)
    with pytest.raises(ModelError, match="too few"):
        int8.quantised_on(dataset, folder)


def test_a_model_is_there_in_8_bits_unless_its_scores_suffer(
    headed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = shutil.copytree(headed / "model", tmp_path / "model")
    folder, dataset = ModelFolder.open(model), Dataset.open(headed / "dataset")
    written = folder.int8.read_bytes()
    exact = score(Tagger.open(model, asked="fp32"), dataset, "validation")
    eight = score(Tagger.open(model, asked="int8"), dataset, "validation")
    assert 0 < np.abs(exact.scores - eight.scores).max() < 0.4
    with dataset.records("validation") as records:
        inputs = [exact.tagger.input_of(records[int(n)].data) for n in exact.records]
    held_out = int8_loss.HeldOut(exact.tagger.logits(inputs), exact.labels, exact.records)
    folder.int8.unlink()
    int8_loss.write_int8(folder, dataset, held_out)
    assert folder.int8.read_bytes() == written
    monkeypatch.setattr(int8_loss, "MOST_LOST", -1)
    int8_loss.write_int8(folder, dataset, held_out)
    assert not folder.int8.exists()


def test_a_new_network_of_another_backbone_is_quantised_where_it_is_worth_it(
    headed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a training: if it takes long enough in float, loses little and is quicker."""
    for name, value in (("WORTH_MS", 0.0), ("QUICKER", 1e9), ("MOST_LOST", 1.0)):
        monkeypatch.setattr(int8_loss, name, value)
    monkeypatch.setattr(int8_loss, "APPLY_PRECISION", 0.0)
    monkeypatch.setattr(int8_loss, "int8_is_quicker", lambda: True)
    monkeypatch.setattr(int8, "DESIGNS", 32)
    config = hangtag.TrainConfig(freeze=True, head="linear", input_size=32, epochs=1)
    hangtag.train(headed / "dataset", tmp_path / "model", config=config)
    folder = ModelFolder.open(tmp_path / "model")
    assert is_quantised(onnx.load(folder.int8))
    dataset = Dataset.open(headed / "dataset")
    found = score(Tagger.open(folder.path, asked="fp32"), dataset, "validation")
    with dataset.records("validation") as records:
        inputs = [found.tagger.input_of(records[int(n)].data) for n in found.records]
    held_out = int8_loss.HeldOut(found.tagger.logits(inputs), found.labels, found.records)
    monkeypatch.setattr(int8_loss, "QUICKER", 0.0)
    int8_loss.write_int8(folder, dataset, held_out)
    assert not folder.int8.exists()


@pytest.mark.parametrize(
    ("changed", "harm"),
    [
        ({}, None),
        ({"macro_map": 0.44}, "macro mAP on validation 0.4400, without 0.5000"),
        ({"apply_precision": 0.94}, "94.0% right"),
        ({"calibration_error": 0.03}, "calibration error 0.0300"),
    ],
)
def test_harm_is_a_loss_of_map_of_precision_or_of_calibration(
    changed: dict[str, float], harm: str | None
) -> None:
    exact = int8_loss.Figures(0.5, 0.97, 0.01)
    found = exact.harm(replace(exact, **changed))
    assert found is None if harm is None else found is not None and harm in found


def test_8_bits_are_fitted_on_a_dataset(headed: Path, tmp_path: Path) -> None:
    done = command("export", headed / "model", tmp_path / "a.onnx", "--int8")
    assert done.returncode == 1
    assert "give both" in done.stderr
