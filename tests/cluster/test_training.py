"""A whole network trained by the nodes of a cluster."""

import threading
import time
from pathlib import Path

import pytest

import hangtag
from hangtag.training.config import TrainConfig
from hangtag.training.history import read
from tests.cluster.conftest import Nodes

pytestmark = [
    pytest.mark.slow,  # starts a cluster
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # Ray's own, of its own settings
]

TINY = TrainConfig(
    backbone="test_resnet", input_size=32, epochs=12, batch_size=32, precision="fp32",
    learning_rate=0.01, freeze=False,
)  # fmt: skip


def test_the_metrics_are_those_of_one_process_with_a_node_killed(
    dataset: Path, nodes: Nodes, tmp_path: Path
) -> None:
    """The workers resume from the last checkpoint: epochs that are done are not trained again."""
    alone = hangtag.train(dataset, tmp_path / "alone", config=TINY)
    folder, before = tmp_path / "together", list[dict[str, float]]()

    def kill_after_an_epoch() -> None:
        while not (done := read(folder / "history.csv")):
            time.sleep(0.05)
        nodes.kill()
        before.extend(done)

    thread = threading.Thread(target=kill_after_an_epoch)
    thread.start()
    together = hangtag.train(dataset, folder, config=TINY, cluster=nodes.address)
    thread.join()
    rows = read(folder / "history.csv")
    assert [row["epoch"] for row in rows] == list(range(1, 13))
    assert rows[: len(before)] == before
    assert together.training.macro_map == pytest.approx(alone.training.macro_map, abs=0.1)
    assert not list(tmp_path.glob(".*.ray"))
