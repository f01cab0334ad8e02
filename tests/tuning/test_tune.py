"""Studies for real: a tiny network on real designs; stopped, killed, shared, resumed."""

import csv
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState
from safetensors.torch import load_file, save_file
from sqlalchemy import make_url

from hangtag.dataset.dataset_folder import Dataset
from hangtag.errors import ConfigError, Stopped, TrainingError
from hangtag.tagging.model_folder import ModelFolder
from hangtag.tagging.tagger import Tagger
from hangtag.training.config import TrainConfig, from_stored
from hangtag.training.defaults import resolved
from hangtag.training.network import TagNetwork
from hangtag.training.progress import load_progress
from hangtag.tuning import study as studies
from hangtag.tuning.config import TuneConfig
from hangtag.tuning.job import Job
from hangtag.tuning.report import write_report
from hangtag.tuning.space import Space
from hangtag.tuning.study import open_study
from hangtag.tuning.summary import Summary
from hangtag.tuning.tune import tune
from hangtag.tuning.worker import Worker
from tests import traced_graphs
from tests.commands import TORCH, Command

TINY = TrainConfig(
    backbone="test_resnet", input_size=32, epochs=4, batch_size=32, precision="fp32", ema=0.1
)
SPACE = Space(
    {
        "learning_rate": FloatDistribution(1e-4, 3e-2, log=True),
        "dropout": FloatDistribution(0, 0.5),
        "loss": CategoricalDistribution(("asl", "bce")),
    }
)
DONE = (TrialState.COMPLETE, TrialState.PRUNED)


@pytest.fixture(scope="module")
def study(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of eight trials."""
    folder = tmp_path_factory.mktemp("tuned") / "study"
    tune(dataset, folder, TINY, TuneConfig(trials=8), SPACE)
    return folder


def trials_of(folder: Path, storage: str = "") -> list[FrozenTrial]:
    return open_study(folder, storage).get_trials(deepcopy=False)


def finished(folder: Path, storage: str = "") -> list[FrozenTrial]:
    return [trial for trial in trials_of(folder, storage) if trial.state in DONE]


def test_the_best_of_all_trials_is_ready(dataset: Path, study: Path) -> None:
    trials = trials_of(study)
    assert len(trials) == 8
    assert trials[0].user_attrs["defaults"]
    assert trials[0].params == {"learning_rate": 0.004, "dropout": 0.0, "loss": "bce"}
    assert trials[0].state == TrialState.COMPLETE
    assert any(trial.state == TrialState.PRUNED for trial in trials)
    best = max((t for t in trials if t.state == TrialState.COMPLETE), key=lambda t: t.value)
    assert best.value >= trials[0].value
    model = ModelFolder.open(study / "model")
    assert {name: model.training[name] for name in best.params} == best.params
    rows = (study / "model" / "history.csv").read_text().splitlines()[1:]
    assert f"{best.value}" in "\n".join(rows)
    assert Tagger.open(study / "model").vocabulary.names
    # What lost takes no room.
    assert [path.name for path in (study / "trials").iterdir()] == [f"{best.number:04d}"]


def test_pruned_trials_had_fallen_behind(study: Path) -> None:
    trials = trials_of(study)
    for trial in trials:
        if trial.state == TrialState.PRUNED:
            epoch, value = max(trial.intermediate_values.items())
            assert epoch < TINY.epochs
            earlier = [t.intermediate_values.get(epoch, -1) for t in trials[: trial.number]]
            assert max(earlier) > value


def test_the_same_call_again_trains_nothing(dataset: Path, study: Path) -> None:
    before = (study / "model" / "weights.safetensors").stat().st_mtime_ns
    result = tune(dataset, study, TINY, TuneConfig(trials=8), SPACE)
    assert (result.trials, len(trials_of(study))) == (8, 8)
    assert (study / "model" / "weights.safetensors").stat().st_mtime_ns == before


def test_a_study_of_something_else_is_refused(dataset: Path, study: Path) -> None:
    with pytest.raises(ConfigError, match="is about another config"):
        tune(dataset, study, replace(TINY, epochs=5), TuneConfig(trials=8), SPACE)
    with pytest.raises(ConfigError, match="is about another space"):
        tune(dataset, study, TINY, TuneConfig(trials=8))
    with pytest.raises(ConfigError, match="give --epochs, not --minutes"):
        tune(dataset, study, TrainConfig(minutes=1), TuneConfig(), SPACE)
    with pytest.raises(ConfigError, match="holds other files"):
        tune(dataset, dataset, TINY, TuneConfig(), SPACE)


def test_a_mistake_in_the_settings_does_not_cost_the_defaults(
    dataset: Path, tmp_path: Path
) -> None:
    weights = tmp_path / "weights.safetensors"
    config = replace(TINY, weights=str(weights))
    for _ in range(2):
        with pytest.raises(ConfigError, match="no weights file"):
            tune(dataset, tmp_path / "study", config, TuneConfig(trials=1), SPACE)
    save_file(TagNetwork("test_resnet", 1).backbone.state_dict(), weights)
    result = tune(dataset, tmp_path / "study", config, TuneConfig(trials=1), SPACE)
    assert result.defaults == result.best


def test_stopped_and_resumed_it_goes_the_same_way(
    dataset: Path, study: Path, tmp_path: Path
) -> None:
    tune(dataset, tmp_path / "again", TINY, TuneConfig(trials=5), SPACE)
    tune(dataset, tmp_path / "again", TINY, TuneConfig(trials=8), SPACE)

    def course(folder: Path) -> list[tuple]:
        return [(t.params, t.intermediate_values, t.state) for t in trials_of(folder)]

    assert course(tmp_path / "again") == course(study)
    weights = [folder / "model" / "weights.safetensors" for folder in (study, tmp_path / "again")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_a_best_model_that_lies_elsewhere_is_trained_again(
    dataset: Path, study: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "study"
    shutil.copytree(study, copy)
    shutil.rmtree(copy / "trials")
    shutil.rmtree(copy / "model")
    tune(dataset, copy, TINY, TuneConfig(trials=8), SPACE)
    weights = [folder / "model" / "weights.safetensors" for folder in (study, copy)]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_heads_on_a_frozen_backbone_are_tried_by_the_dozen(
    dataset: Path, study: Path, tmp_path: Path
) -> None:
    folder, backbone = tmp_path / "study", load_file(study / "model" / "weights.safetensors")
    weights = tmp_path / "weights.safetensors"
    save_file({n: v for n, v in backbone.items() if n.startswith("backbone.")}, weights)
    config = replace(TINY, epochs=None, batch_size=None, weights=str(weights), freeze=True)
    config = replace(config, pooling="last")  # on all stages the defaults cannot be bettered
    began = time.monotonic()
    result = tune(dataset, folder, config, TuneConfig(trials=24))
    assert time.monotonic() - began < 60
    assert (result.trials, result.pruned) == (24, 0)
    assert result.best > result.defaults
    # The model that is written is the head that was measured.
    rows = (folder / "model" / "history.csv").read_text().splitlines()[1:]
    assert max(float(row.split(",")[3]) for row in rows) == result.best
    written = load_file(folder / "model" / "weights.safetensors")
    assert all(torch.equal(written[n], v) for n, v in backbone.items() if n in written
               and n.startswith("backbone."))  # fmt: skip
    assert tune(dataset, folder, config, TuneConfig(trials=24)) == result


def test_a_trial_may_leave_the_choice_to_us(dataset: Path, tmp_path: Path) -> None:
    space = Space({"output_stride": CategoricalDistribution((0,))})
    config = TrainConfig(input_size=32, freeze=True, epochs=2)
    tune(dataset, tmp_path / "study", config, TuneConfig(trials=2), space)
    states = {trial.state for trial in trials_of(tmp_path / "study")}
    assert states == {TrialState.COMPLETE}


def test_a_trial_that_diverges_is_a_bad_trial_and_no_more(dataset: Path, tmp_path: Path) -> None:
    wild = {"learning_rate": (100.0,), "weight_decay": (10.0,)}
    space = Space({name: CategoricalDistribution(values) for name, values in wild.items()})
    config = replace(TINY, optimizer="sgd", learning_rate=0.01)
    result = tune(dataset, tmp_path / "study", config, TuneConfig(trials=2), space)
    assert result.best_trial == 0
    bad = trials_of(tmp_path / "study")[1]
    assert bad.state == TrialState.PRUNED
    assert "lower learning_rate" in bad.user_attrs["error"]
    assert not (tmp_path / "study" / "trials" / "0001").exists()


def test_the_decay_that_is_left_to_us_follows_the_optimiser_of_a_trial(
    dataset: Path, tmp_path: Path
) -> None:
    """AdamW decays by itself; what the others add to the gradient must be far less."""
    space = Space({"optimizer": CategoricalDistribution(("adam", "adamw"))})
    tune(dataset, tmp_path / "study", TINY, TuneConfig(trials=1), space)
    base = from_stored(open_study(tmp_path / "study").user_attrs["base"])
    decays = [resolved(space.config(base, {"optimizer": name})).weight_decay
              for name in ("adam", "adamw")]  # fmt: skip
    assert decays == [1e-4, 0.5]


def test_time_that_is_over_stops_a_trial_where_it_can_go_on(dataset: Path, tmp_path: Path) -> None:
    folder, config = tmp_path / "study", replace(TINY, epochs=6)
    with pytest.raises(TrainingError, match="with more --hours"):
        tune(dataset, folder, config, TuneConfig(trials=2, hours=1e-6, prune=False), SPACE)
    open_study(folder)
    seconds = 3.0
    result = None
    while result is None:
        try:
            hours = seconds / 3600
            result = tune(dataset, folder, config, TuneConfig(2, hours, prune=False), SPACE)
        except TrainingError:
            seconds *= 2
    tune(dataset, folder, config, TuneConfig(trials=2, prune=False), SPACE)
    done = finished(folder)
    assert [len(trial.intermediate_values) for trial in done] == [6, 6]
    assert done[0].params == {"learning_rate": 0.004, "dropout": 0.0, "loss": "bce"}


EPOCHS = 16  # enough for a stop to find the trial under way


def command(
    dataset: Path, folder: Path, *options: str, trials: int = 2, epochs: int = EPOCHS
) -> Command:
    """`hangtag tune` in a process of its own, with trials of some seconds."""
    space = folder.parent / "space.json"
    space.write_text(json.dumps({"dropout": {"low": 0, "high": 0.5}}))
    settings = {"backbone": "test_resnet", "input-size": 32, "epochs": epochs, "batch-size": 32,
                "precision": "fp32", "trials": trials, "space": space}  # fmt: skip
    words = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return Command(
        "tune", dataset, folder, *words, "--no-prune", *options,
        environment=environment, imported=TORCH, log=folder.parent / "log.txt",
        script=traced_graphs.command(),
    )  # fmt: skip


def wait_for(state: Callable[[], bool], folder: Path, seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if state():
                return
        except ConfigError:  # not begun yet
            pass
        time.sleep(0.1)
    pytest.fail((folder.parent / "log.txt").read_text())


def running(folder: Path, storage: str = "", epochs: int = 3) -> list[FrozenTrial]:
    """Trials under way that have some epochs behind them."""
    return [
        trial
        for trial in trials_of(folder, storage)
        if trial.state == TrialState.RUNNING and len(trial.intermediate_values) >= epochs
    ]


def test_a_study_that_was_stopped_and_killed_goes_on(dataset: Path, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    checkpoint = folder / "trials" / "0000" / "checkpoints" / "last.safetensors"
    before: list[dict[str, float]] = []
    for number, status, epochs in ((signal.SIGINT, 130, 3), (signal.SIGKILL, -signal.SIGKILL, 6)):
        process = command(dataset, folder, trials=1)
        wait_for(lambda epochs=epochs: bool(running(folder, epochs=epochs)), folder)
        process.send_signal(number)
        assert process.wait(60) == status
        # It had gone on from its checkpoint: the epochs before were not trained again, or their
        # training would have taken other hundredths of a second.
        history = load_progress(checkpoint).history
        assert len(history) >= epochs
        assert history[: len(before)] == before
        before = history
    assert command(dataset, folder, trials=1).wait(120) == 0, (tmp_path / "log.txt").read_text()
    (done,) = finished(folder)
    assert len(done.intermediate_values) == EPOCHS
    assert done.user_attrs["defaults"]
    assert done.system_attrs["failed_trial"] == 0
    for failed in trials_of(folder)[: done.number]:
        assert done.intermediate_values.items() >= failed.intermediate_values.items()
    lines = (folder / "model" / "history.csv").read_text().splitlines()
    kept = [[float(value) for value in row.values()] for row in csv.DictReader(lines)]
    assert kept[: len(before)] == [list(row.values()) for row in before]
    assert command(dataset, folder).wait(120) == 0, (tmp_path / "log.txt").read_text()
    assert [len(one.intermediate_values) for one in finished(folder)] == [EPOCHS, EPOCHS]


def test_a_worker_that_is_killed_is_replaced(dataset: Path, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    process = command(dataset, folder, "--parallel", "2")
    wait_for(lambda: bool(running(folder)), folder)
    victim = running(folder)[0]
    psutil.Process(victim.user_attrs["worker"]["pid"]).kill()
    assert process.wait(180) == 0, (tmp_path / "log.txt").read_text()
    assert "another resumes its trial" in (tmp_path / "log.txt").read_text()
    done = finished(folder)
    assert [len(trial.intermediate_values) for trial in done] == [EPOCHS, EPOCHS]
    retried = [t for t in done if t.system_attrs.get("failed_trial") == victim.number]
    assert len(retried) == 1
    assert Tagger.open(folder / "model").vocabulary.names


def test_ctrl_c_stops_all_workers(dataset: Path, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    process = command(dataset, folder, "--parallel", "2", epochs=100)  # none comes to its end
    wait_for(lambda: len(running(folder, epochs=1)) == 2, folder)
    workers = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 130
    psutil.wait_procs(workers, 20)
    assert not any(worker.is_running() for worker in workers)
    states = [trial.state for trial in trials_of(folder)]
    assert TrialState.RUNNING not in states
    assert states.count(TrialState.WAITING) == 2


def test_a_trial_of_another_machine_is_taken_up_when_its_heart_stops(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "study"
    tune(dataset, folder, TINY, TuneConfig(trials=1), SPACE)
    elsewhere = open_study(folder)
    with pytest.warns(UserWarning, match="Heartbeat"):  # it is not asked for by a worker of ours
        trial = elsewhere.ask(SPACE.ranges)
    trial.set_user_attr("worker", {"host": "elsewhere", "pid": os.getpid(), "began": 0})
    elsewhere._storage.record_heartbeat(trial._trial_id)
    # It seems alive, and so still counts among the trials.
    assert tune(dataset, folder, TINY, TuneConfig(trials=2), SPACE).trials == 1
    with closing(sqlite3.connect(folder / "study.db")) as database, database:
        database.execute("UPDATE trial_heartbeats SET heartbeat = datetime(heartbeat, '-1 day')")
    assert tune(dataset, folder, TINY, TuneConfig(trials=2), SPACE).trials == 2
    lost, found = trials_of(folder)[1:]
    assert (lost.state, found.params) == (TrialState.FAIL, lost.params)


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real PostgreSQL server, Debian's package."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("needs PostgreSQL (Debian: apt-get install postgresql)")
    root = os.geteuid() == 0
    folder = tmp_path_factory.mktemp("postgres")
    if root:  # the server refuses to run as root, and must reach its folder
        for path in (folder, *folder.parents[: len(folder.parents) - 2]):
            path.chmod(0o755)
        shutil.chown(folder, "postgres")
    who = {"user": "postgres"} if root else {}
    subprocess.run(
        [found[-1], "-D", folder / "data", "-U", "hangtag", "--auth=trust"],
        check=True, capture_output=True, cwd=folder, **who,
    )  # fmt: skip
    server = subprocess.Popen(
        [found[-1].with_name("postgres"), "-D", folder / "data", "-k", folder, "-h", ""],
        stderr=subprocess.DEVNULL, cwd=folder, **who,
    )  # fmt: skip
    url = f"postgresql://hangtag@/postgres?host={folder}"
    ready = [found[-1].with_name("pg_isready"), "-h", folder, "-q"]
    limit = time.monotonic() + 60
    while subprocess.run(ready, check=False).returncode:
        assert server.poll() is None
        assert time.monotonic() < limit
        time.sleep(0.1)
    yield url
    server.send_signal(signal.SIGINT)
    server.wait(30)


def test_processes_share_a_study_in_postgresql(
    dataset: Path, tmp_path: Path, postgres: str
) -> None:
    # As on two machines: a folder for each, of the same name.
    folders = [tmp_path / name / "study" for name in ("one", "two")]
    for folder in folders:
        folder.parent.mkdir()
    options = ("--storage", postgres)
    first, second = (command(dataset, folder, *options, trials=4) for folder in folders)
    wait_for(lambda: len(running(folders[0], postgres)) == 2, folders[0])
    first.kill()
    first.wait()
    third = command(dataset, folders[0], *options, trials=4)
    logs = [(folder.parent / "log.txt") for folder in folders]
    assert third.wait(240) == 0, logs[0].read_text()
    assert second.wait(240) == 0, logs[1].read_text()
    done = finished(folders[0], postgres)
    assert len(done) == 4
    assert all(len(trial.intermediate_values) == EPOCHS for trial in done)
    assert sum(bool(trial.user_attrs.get("defaults")) for trial in done) == 1
    assert len({trial.params["dropout"] for trial in done}) == 4
    # Whichever ended last has the best of all.
    best = max(done, key=lambda trial: trial.value)
    dropouts = [ModelFolder.open(folder / "model").training["dropout"] for folder in folders]
    assert best.params["dropout"] in dropouts


def test_a_trial_about_to_be_queued_again_is_waited_for(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process finds the defaults' trial dead: it fails it, and queues it a moment later."""
    folder = tmp_path / "study"
    folder.mkdir()
    found = open_study(folder, create=True)
    found.enqueue_trial(SPACE.values(TINY), {"defaults": True})
    found.optimize(lambda trial: 1 / 0, n_trials=1, catch=ZeroDivisionError)  # fails
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        if not pauses:
            studies.requeue(found, 0)
        pauses.append(seconds)

    clock = SimpleNamespace(monotonic=time.monotonic, sleep=pause)
    monkeypatch.setattr("hangtag.tuning.definition.time", clock)
    monkeypatch.setattr("hangtag.tuning.definition.QUEUEING", 60.0)
    tune(dataset, folder, replace(TINY, epochs=1), TuneConfig(trials=1), SPACE)
    assert len(pauses) == 1
    states = [trial.state for trial in trials_of(folder)]
    assert states == [TrialState.FAIL, TrialState.COMPLETE]


def test_defaults_that_two_processes_queue_are_tried_once(dataset: Path, tmp_path: Path) -> None:
    """They begin at the same moment, and neither sees the other's trial before it adds its own."""
    folder = tmp_path / "study"
    folder.mkdir()
    for _ in range(2):
        studies.open_study(folder, create=True).enqueue_trial(
            SPACE.values(TINY), {"defaults": True}
        )
    assert tune(dataset, folder, replace(TINY, epochs=1), TuneConfig(trials=2), SPACE).trials == 2
    assert [
        (trial.state, bool(trial.user_attrs.get("defaults"))) for trial in trials_of(folder)
    ] == [(TrialState.COMPLETE, True), (TrialState.FAIL, True), (TrialState.COMPLETE, False)]


@pytest.mark.filterwarnings("ignore:Heartbeat")  # they ask for it as no worker of ours does
def test_a_queued_trial_is_taken_once(tmp_path: Path) -> None:
    """By one of four workers that ask at the same moments."""
    queue = open_study(tmp_path, create=True)
    for dropout in np.linspace(0, 0.5, 40):
        queue.enqueue_trial({"dropout": dropout})
    together = threading.Barrier(4)

    def take() -> list[int]:
        mine = open_study(tmp_path)
        together.wait()
        return [mine.ask().number for _ in range(10)]

    with ThreadPoolExecutor(4) as pool:
        taken = [pool.submit(take) for _ in range(4)]
    assert sorted(number for one in taken for number in one.result()) == list(range(40))


@pytest.mark.filterwarnings("ignore:Heartbeat")  # they ask for it as no worker of ours does
def test_a_trial_queued_again_is_not_dead_before_its_new_process_is_recorded(
    tmp_path: Path,
) -> None:
    study = open_study(tmp_path, create=True)
    process = subprocess.Popen([sys.executable, "-c", ""])
    began = psutil.Process(process.pid).create_time()
    process.wait()
    dead = {"host": socket.gethostname(), "pid": process.pid, "began": began}
    study.ask().set_user_attr("worker", dead)
    studies.requeue_stale(study)
    assert study.ask().number == 1
    studies.requeue_stale(study)
    states = [trial.state for trial in study.trials]
    assert states == [TrialState.FAIL, TrialState.RUNNING]


def test_a_trial_that_was_taken_for_dead_costs_no_worker(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a leap of the clock: another worker queues the trial while its own still trains."""
    judged = []
    check = Job.check

    def leaps(job: Job) -> None:
        if not judged:
            study = open_study(job.folder)
            judged.append(study.trials[-1].number)
            studies.requeue(study, judged[0], studies.DEATHS)
        check(job)

    monkeypatch.setattr(Job, "check", leaps)
    tune(dataset, tmp_path / "study", TINY, TuneConfig(trials=2), SPACE)
    trials = trials_of(tmp_path / "study")
    assert trials[judged[0]].state == TrialState.FAIL
    assert len(trials) == 3
    assert len(finished(tmp_path / "study")) == 2


def test_a_trial_that_was_taken_for_dead_can_be_stopped(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Optuna's error about the trial hides the stop."""

    def leaps(job: Job) -> None:
        study = open_study(job.folder)
        studies.requeue(study, study.trials[-1].number, studies.DEATHS)
        raise Stopped

    monkeypatch.setattr(Job, "check", leaps)
    with pytest.raises(Stopped):
        tune(dataset, tmp_path / "study", TINY, TuneConfig(trials=2), SPACE)
    states = [trial.state for trial in trials_of(tmp_path / "study")]
    assert states == [TrialState.FAIL, TrialState.WAITING]


def test_no_more_trials_are_done_than_asked_for(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever counted too early finds out once its trial has a number."""
    answers = iter((True, True, True, True, False))
    monkeypatch.setattr(Worker, "_more", lambda _: next(answers))
    tune(dataset, tmp_path / "study", replace(TINY, epochs=1), TuneConfig(trials=2), SPACE)
    states = [trial.state for trial in trials_of(tmp_path / "study")]
    assert states == [TrialState.COMPLETE] * 2 + [TrialState.FAIL] * 2


def test_a_study_in_a_database_goes_on_before_its_first_trial_wrote_a_folder(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, storage = tmp_path / "study", f"sqlite:///{tmp_path / 'study.db'}"
    config = replace(TINY, epochs=1)

    def killed(worker: Worker, reporter: object) -> None:
        (folder / "trials" / "0000").mkdir()
        raise SystemExit(1)

    with monkeypatch.context() as patched:
        patched.setattr(Worker, "work", killed)
        with pytest.raises(SystemExit):
            tune(dataset, folder, config, TuneConfig(trials=1), SPACE, storage=storage)
    assert tune(dataset, folder, config, TuneConfig(trials=1), SPACE, storage=storage).trials == 1


def test_trials_share_what_the_backbone_makes_of_the_designs(dataset: Path, tmp_path: Path) -> None:
    config = TrainConfig(input_size=32, epochs=1, precision="fp32")
    folder = tmp_path / "study"
    tune(dataset, folder, config, TuneConfig(trials=1), SPACE)
    before = {path: path.stat().st_mtime_ns for path in (dataset / "features").rglob("*.*")}
    assert before
    tune(dataset, folder, config, TuneConfig(trials=2), SPACE)
    after = {path: path.stat().st_mtime_ns for path in (dataset / "features").rglob("*.*")}
    assert after == before


def test_a_storage_that_cannot_be_had_is_named(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(studies.time, "sleep", lambda seconds: None)
    with pytest.raises(ConfigError, match="give a database URL"):
        tune(dataset, tmp_path / "study", TINY, storage="study.db")
    with pytest.raises(ConfigError, match=r"database cannot be used: .*connect"):
        tune(dataset, tmp_path / "study", TINY, storage="postgresql://nobody@127.0.0.1:9/none")
    with pytest.raises(ConfigError, match="holds no study"):
        open_study(tmp_path / "nothing")


@pytest.mark.parametrize(
    "storage",
    [
        "postgresql://me:se@cret@host:port/db",
        "postgresql://me:se/cret@host:x/db",
        "://",
        "mysqlx://a/b",
    ],
)
def test_a_storage_that_is_no_url_is_named_without_its_password(
    storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(studies.time, "sleep", lambda seconds: None)
    with pytest.raises(ConfigError) as refused:
        open_study(tmp_path, storage, create=True)
    assert "cret" not in str(refused.value)


def test_a_password_of_any_characters_reaches_the_driver() -> None:
    found = make_url(studies._url("postgresql://me:%40%25%7Bx%7D%2F@host/db"))
    assert (found.drivername, found.password) == ("postgresql+psycopg", "@%{x}/")


ODD = (
    "50%20off? #b&c=d;e", "{SCHEMA_VERSION} %s %(x)s %%", "C:\\x\\:memory:", "file:a?mode=ro@x",
    "-caf\u00e9 \u56f3 [a]*'\"`$x",
)  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_a_study_folder_may_have_any_name(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name / "study"
    folder.mkdir(parents=True)
    opened = open_study(folder, create=True)
    opened.enqueue_trial({"x": 1})
    assert len(trials_of(folder)) == 1
    assert [path.name for path in folder.iterdir()] == ["study.db"]
    assert [path.name for path in tmp_path.iterdir()] == [name]
    # What is printed for other programs leads to the same file.
    assert make_url(studies.database_url(folder)).database == str(folder / "study.db")


def test_a_study_goes_on_with_the_same_dataset_packed_elsewhere(
    dataset: Path, repacked: Path, study: Path, tmp_path: Path
) -> None:
    """Also one that noted the packer's key, as until November 2026."""
    copied = shutil.copytree(study, tmp_path / "study")
    assert tune(repacked, copied, TINY, TuneConfig(trials=8), SPACE).trials == 8
    known = open_study(copied)
    about = known.user_attrs["about"]
    assert about["dataset"] == Dataset.open(dataset).fingerprint()
    known.set_user_attr("about", {**about, "dataset": Dataset.open(dataset).info.pack})
    assert tune(dataset, copied, TINY, TuneConfig(trials=8), SPACE).trials == 8
    with pytest.raises(ConfigError, match="is about another dataset"):
        tune(repacked, copied, TINY, TuneConfig(trials=8), SPACE)


def test_a_study_begun_anew_does_not_stumble_over_old_trials(
    dataset: Path, study: Path, tmp_path: Path
) -> None:
    """Its database was removed, its trials were not."""
    copied = shutil.copytree(study, tmp_path / "study")
    (copied / "study.db").unlink()
    (one,) = (copied / "trials").iterdir()
    one.rename(one.with_name("0000"))
    assert tune(dataset, copied, replace(TINY, epochs=1), TuneConfig(trials=1), SPACE).trials == 1


def test_the_report_shows_the_results(study: Path) -> None:
    summary = Summary.of(open_study(study))
    page = write_report(summary, study).read_text()
    lines = "\n".join(summary.lines())
    assert f"{summary.best.value:.4f}" in lines
    assert f"{len(summary.pruned)} of them stopped early" in lines
    spent = sum(len(trial.intermediate_values) for trial in trials_of(study)) / TINY.epochs
    assert summary.trainings == pytest.approx(spent)
    for name in SPACE.ranges:
        assert page.count(name) >= 2  # in the table, and in a plot
    assert page.count("<svg") >= 4
    assert "src=" not in page
    assert 'href="http' not in page
    importances = summary.importances()
    assert sum(importances.values()) == pytest.approx(1)
    assert json.loads(json.dumps(summary.as_json()))["best"] == summary.best.value


def test_a_stop_between_trials_leaves_a_usable_study(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hangtag.tuning import reporter

    lines = []

    def stop(line: str) -> None:
        lines.append(line)
        if line.startswith("2/"):
            raise KeyboardInterrupt

    monkeypatch.setattr(reporter, "note", stop)
    with pytest.raises(Stopped, match="2 of 6 trials done"):
        tune(dataset, tmp_path / "study", TINY, TuneConfig(trials=6), SPACE)
    assert Tagger.open(tmp_path / "study" / "model").vocabulary.names
