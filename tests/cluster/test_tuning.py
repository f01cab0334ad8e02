"""The trials of a study as tasks of a cluster."""

import os
import signal
import threading
from pathlib import Path

import psutil
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState

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
    folder, killed, ended = tmp_path / "study", [], threading.Event()

    def kill_a_worker() -> None:
        while not killed and not ended.wait(0.2):
            try:
                trials = open_study(folder).get_trials(deepcopy=False)
            except ConfigError:  # it has not begun
                continue
            for trial in trials:
                worker = trial.user_attrs.get("worker")
                if not worker or trial.state.is_finished():
                    continue
                os.kill(worker["pid"], signal.SIGKILL)
                now = open_study(folder).get_trials(deepcopy=False)[trial.number]
                if not now.state.is_finished():  # else it ended just before: another one, then
                    killed.append(worker["pid"])
                break

    thread = threading.Thread(target=kill_a_worker)
    thread.start()
    try:
        found = hangtag.tune(
            dataset, folder, config=TINY, tuning=TuneConfig(trials=3), space=SPACE,
            cluster=nodes.address,
        )  # fmt: skip
    finally:
        ended.set()
        thread.join()
    trials = open_study(folder).get_trials(deepcopy=False)
    done = finished(trials)
    assert len(done) == 3
    # Two workers may begin the last trial at the same moment; one of them then fails it.
    lost = [
        trial
        for trial in trials
        if trial.state == TrialState.FAIL and trial.user_attrs["worker"]["pid"] == killed[0]
    ]
    again = [one for one in trials if first_number(one) in {first_number(gone) for gone in lost}]
    assert len(again) == 2  # the killed one was queued again, once
    assert again[1] in done
    workers = {trial.user_attrs["worker"]["pid"] for trial in done}
    assert killed[0] not in workers
    assert os.getpid() not in workers
    assert found.model.vocabulary.names
    assert not any(psutil.pid_exists(pid) for pid in killed)
