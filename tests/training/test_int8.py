"""8-bit weights and activations: what is lost is measured before anything is written."""

import logging
from pathlib import Path

import numpy as np
import onnx
import pytest

import hangtag
from hangtag.errors import ConfigError
from hangtag.export import formats, int8
from hangtag.export.onnx_file import session_of
from tests.commands import hangtag as command


def test_a_quantised_model_is_smaller_and_says_nearly_the_same(
    headed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And where more is lost than allowed, nothing is written."""
    monkeypatch.setattr(int8, "DESIGNS", 32)
    model, dataset = headed / "model", headed / "dataset"
    plain, eight = tmp_path / "plain.onnx", tmp_path / "int8.onnx"
    hangtag.export_model(model, plain)
    kept = []

    def quantised(*arguments: object) -> int8.Quantised:
        kept.append(int8.quantised(*arguments))
        return kept[0]

    monkeypatch.setattr(formats, "quantised", quantised)
    handlers = [*logging.root.handlers]
    found = hangtag.export_model(model, eight, int8=dataset, max_loss=0.5)
    assert (found.macro_map, found.macro_map_int8) == (kept[0].macro_map, kept[0].macro_map_int8)
    assert logging.root.handlers == handlers  # the quantiser adds one, which repeats all messages
    assert kept[0].loss < 0.5
    assert eight.stat().st_size < plain.stat().st_size
    kinds = [node.op_type for node in onnx.load(eight).graph.node]
    assert kinds.count("Conv") > int8.FLOAT_CONVOLUTIONS
    assert "QuantizeLinear" in kinds
    images = np.random.default_rng(0).integers(0, 256, (2, 90, 70, 4), np.uint8)
    exact, rounded = (session_of(one).run(None, {"images": images})[0] for one in (plain, eight))
    assert np.abs(exact - rounded).max() < 0.2
    assert (exact != rounded).any()
    monkeypatch.setattr(formats, "quantised", lambda *_: kept[0])
    with pytest.raises(ConfigError, match="--max-loss"):
        hangtag.export_model(model, tmp_path / "no.onnx", int8=dataset, max_loss=-1)
    assert not (tmp_path / "no.onnx").exists()


def test_8_bits_are_fitted_on_a_dataset(headed: Path, tmp_path: Path) -> None:
    done = command("export", headed / "model", tmp_path / "a.onnx", "--int8")
    assert done.returncode == 1
    assert "give both" in done.stderr
