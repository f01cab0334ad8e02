"""The trials of a study as tasks of a cluster."""

import os
import signal
import threading
import time
from pathlib import Path

import psutil
import pytest
from optuna.distributions import FloatDistribution

import hangtag
from hangtag.errors import ConfigError
from hangtag.training.config import TrainConfig
from hangtag.tuning.config import TuneConfig
from hangtag.tuning.space import Space
from hangtag.tuning.study import finished, first_number, open_study
from tests.cluster.conftest import Nodes

pytestmark = pytest.mark.slow  # starts a cluster

TINY = TrainConfig(backbone="test_resnet", input_size=32, epochs=3, batch_size=32, precision="fp32")
SPACE = Space({"learning_rate": FloatDistribution(1e-4, 3e-2, log=True)})


def test_all_trials_are_done_with_a_worker_killed(
    dataset: Path, nodes: Nodes, tmp_path: Path
) -> None:
    folder, killed = tmp_path / "study", []

    def kill_a_worker() -> None:
        while not killed:
            time.sleep(0.2)
            try:
                trials = open_study(folder).get_trials(deepcopy=False)
            except ConfigError:  # it has not begun
                continue
            for trial in trials:
                worker = trial.user_attrs.get("worker")
                if worker and not trial.state.is_finished():
                    os.kill(worker["pid"], signal.SIGKILL)
                    killed.append(worker["pid"])
                    break

    thread = threading.Thread(target=kill_a_worker)
    thread.start()
    found = hangtag.tune(
        dataset, folder, config=TINY, tuning=TuneConfig(trials=3), space=SPACE,
        cluster=nodes.address,
    )  # fmt: skip
    thread.join()
    trials = open_study(folder).get_trials(deepcopy=False)
    ended = finished(trials)
    assert len(ended) == 3
    # Two workers may begin the last trial at the same moment; one of them then fails it.
    lost = [one for one in trials if one.user_attrs.get("worker", {}).get("pid") == killed[0]]
    again = [one for one in trials if first_number(one) in {first_number(gone) for gone in lost}]
    assert len(again) == 2  # the killed one was queued again, once
    assert again[1] in ended
    workers = {trial.user_attrs["worker"]["pid"] for trial in ended}
    assert killed[0] not in workers
    assert os.getpid() not in workers
    assert found.model.vocabulary.names
    assert not any(psutil.pid_exists(pid) for pid in killed)
