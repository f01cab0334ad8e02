"""A whole network trained by the nodes of a cluster."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

import hangtag
from hangtag.training.config import TrainConfig
from hangtag.training.history import read
from tests.cluster.conftest import Nodes

pytestmark = pytest.mark.slow  # starts a cluster

EPOCHS = 8
TINY = TrainConfig(
    backbone="test_resnet", input_size=32, epochs=EPOCHS, batch_size=32, precision="fp32",
    learning_rate=0.01, freeze=False,
)  # fmt: skip


def test_the_metrics_are_those_of_one_process_with_a_node_killed(
    dataset: Path, nodes: Nodes, tmp_path: Path
) -> None:
    """The workers resume from the last checkpoint: epochs that are done are not trained again."""
    alone = hangtag.train(dataset, tmp_path / "alone", config=TINY)
    folder = tmp_path / "together"
    options = [
        "--backbone=test_resnet", "--input-size=32", f"--epochs={EPOCHS}", "--batch-size=32",
        "--precision=fp32", "--learning-rate=0.01", "--cluster", nodes.address,
    ]  # fmt: skip
    command = [sys.executable, "-m", "hangtag", "train", str(dataset), str(folder), *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not (before := read(folder / "history.csv")):
            time.sleep(0.05)
        assert process.poll() is None
        nodes.kill()
        _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    assert f"epoch {EPOCHS}: loss" in errors
    rows = read(folder / "history.csv")
    assert [row["epoch"] for row in rows] == list(range(1, EPOCHS + 1))
    assert rows[: len(before)] == before
    together = hangtag.load_model(folder)
    assert together.training.macro_map == pytest.approx(alone.training.macro_map, abs=0.1)
    assert not list(tmp_path.glob(".*.ray"))
