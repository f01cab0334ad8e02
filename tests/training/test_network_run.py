"""Whole networks beside a head alone: the better one becomes the model."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hangtag.errors import ConfigError
from hangtag.index.own import SIDE_OF_OWN
from hangtag.quality.evaluate import evaluate
from hangtag.tagging.model_folder import ModelFolder
from hangtag.training.config import TrainConfig, from_stored, stored
from hangtag.training.defaults import resolved
from hangtag.training.earlier import ASKED
from hangtag.training.export import Best
from hangtag.training.network_run import better_of
from hangtag.training.progress import Progress
from hangtag.training.train import train

SHORT = TrainConfig(input_size=32, epochs=1, precision="fp32", ema=0.0)


def test_a_whole_network_that_is_no_better_ships_a_head_alone(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "m"
    result = train(dataset, model, SHORT)
    said = capsys.readouterr().err
    assert "by a head alone: the head becomes the model" in said
    folder = ModelFolder.open(model)
    assert (folder.preprocessing.input_size, folder.training["head"]) == (SIDE_OF_OWN, "kernel")
    assert from_stored(folder.training).freeze
    assert (result.epochs, result.best_epoch) == (2, 2)  # one epoch, and the head
    alone = train(dataset, tmp_path / "alone")
    assert result.macro_map == alone.macro_map
    ours, theirs = (evaluate(one, dataset)[0].figures for one in (model, alone.model))
    assert ours == theirs

    again = train(dataset, model, SHORT)
    assert (again.best_epoch, again.macro_map) == (2, pytest.approx(result.macro_map))
    with pytest.raises(ConfigError, match=r"other settings \(epochs\)"):
        train(dataset, model, replace(SHORT, epochs=2))
    with pytest.raises(ConfigError, match=r"other settings"):
        train(dataset, model)


def test_who_asks_for_a_whole_network_gets_it(dataset: Path, tmp_path: Path) -> None:
    result = train(dataset, tmp_path / "m", replace(SHORT, freeze=False))
    folder = ModelFolder.open(tmp_path / "m")
    assert (result.epochs, folder.training["head"]) == (1, "linear")


@pytest.mark.parametrize(("score", "shipped"), [(0.7, "whole"), (0.6, "alone"), (0.5, "alone")])
def test_the_better_one_is_chosen(score: float, shipped: str) -> None:
    config = stored(resolved(SHORT))
    row = {"epoch": 1.0, "validation_macro_map": score}
    whole = Progress(config, {}, "fp32", 1, best_epoch=0, best_score=score, history=[row])
    record = {"epoch": 1.0, "validation_macro_map": 0.6}
    alone = Progress(
        stored(resolved(TrainConfig())), {}, "fp32", 0,
        best_epoch=0, best_score=0.6, history=[record],
    )  # fmt: skip
    of_network, of_head = (
        Best(
            np.zeros((1, 1), np.float32),
            np.ones((1, 1), np.int8),
            np.zeros(1, np.int64),
            lambda *_: None,
        )
        for _ in range(2)
    )
    progress, best = better_of(whole, lambda: of_network, alone, of_head)
    if shipped == "whole":
        assert progress is whole
        assert best() is of_network
    else:
        assert best() is of_head
        assert progress.history == [row, {**record, "epoch": 2}]
        assert progress.best_epoch == 1
        assert progress.config[ASKED] == config
        assert progress.config["freeze"]
