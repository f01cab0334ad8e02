"""Many runs on one dataset, losers stopped early: DATASET/ -> STUDY/ with the best MODEL/ in it.

hangtag tune DATASET STUDY
"""

import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from multiprocessing.process import BaseProcess
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from types import FrameType
from typing import Any, Final

import torch
from accelerate import Accelerator
from optuna.distributions import distribution_to_json
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from hangtag.console import note, silenced
from hangtag.cores import cores
from hangtag.dataset.dataset_folder import Dataset
from hangtag.errors import ConfigError, HangtagError, Stopped, TrainingError
from hangtag.processes import Context
from hangtag.tagging.model_folder import CONFIG_FILE
from hangtag.training import recipe
from hangtag.training.config import (
    TrainConfig,
    automatic_epochs,
    batch_size,
    from_stored,
    resolved,
    stored,
)
from hangtag.training.speed import choose_precision, limit_threads
from hangtag.training.train import train
from hangtag.tuning.config import Objective, TuneConfig
from hangtag.tuning.space import Space
from hangtag.tuning.study import DATABASE, best_trial, finished, open_study, requeue_stale
from hangtag.tuning.trials import TRIALS, Job, Reporter, Worker

MODEL: Final = "model"
# Workers that die without finishing a trial before the study gives up.
LOSSES: Final = 5
# Seconds within which a trial that was found dead is requeued.
QUEUEING: Final = 3.0


@dataclass(frozen=True)
class TuneResult:
    """How a study stands."""

    model: Path
    trials: int  # finished ones
    pruned: int
    best_trial: int
    best: float  # the objective, on validation
    defaults: float | None  # the same with the defaults; None before they are done
    trainings: float  # what all trials cost, in full trainings


def tune(
    dataset: Dataset | Path,
    folder: Path,
    config: TrainConfig | None = None,
    tuning: TuneConfig | None = None,
    space: Space | None = None,
    *,
    storage: str = "",
    tags_file: Path | None = None,
) -> TuneResult:
    """Search for better settings than `config`, which is the first trial; the same call resumes.

    Any number of processes and machines can work on one study: same folder name, same `storage` (a
    database URL; by default a file in the folder). `folder`/model is complete whenever this
    returns, and after Stopped if a trial was done. Raises what `train` raises, and ConfigError for
    a study of something else.
    """
    limit_threads()
    config, tuning = config or TrainConfig(), tuning or TuneConfig()
    space = space or Space.default(config)
    if config.minutes:
        raise ConfigError("a study compares equal epochs: give --epochs, not --minutes")
    data = Dataset.open(dataset, tags_file)
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()) and not any((folder / name).exists() for name in (DATABASE, TRIALS)):
        raise ConfigError(f"{folder} holds other files; choose a new folder for the study")
    (folder / TRIALS).mkdir(exist_ok=True)  # by this the next call knows the folder
    study = open_study(folder, storage, create=True)
    objective = space.objective or "validation:macro_map"
    deadline = time.time() + 3600 * tuning.hours if tuning.hours else float("inf")
    base = _begin(study, data, config, tuning, space, objective)
    job = Job(dataset, tags_file, folder, storage, base, space, objective, tuning, deadline)
    try:
        with _terminable():
            _work_alone(job) if tuning.parallel == 1 else _work_together(job)
    except (Stopped, KeyboardInterrupt) as stop:
        done = len(finished(study.get_trials(deepcopy=False)))
        best = best_trial(study)
        if best is not None:
            _place_best(job, study)
        raise Stopped(
            f"stopped with {done} of {tuning.trials} trials done, all is saved"
            + (f", the best so far in {folder / MODEL}" if best is not None else "")
            + "; run the same command again to resume"
        ) from stop
    return _place_best(job, study)


def _begin(
    study: Study,
    data: Dataset,
    config: TrainConfig,
    tuning: TuneConfig,
    space: Space,
    objective: Objective,
) -> TrainConfig:
    """Write down what the study is about, or check that it is the same; return its base."""
    ranges = {name: distribution_to_json(one) for name, one in space.ranges.items()}
    about = {
        "dataset": data.fingerprint(),
        "config": stored(config),
        "space": ranges,
        "objective": objective,
        "prune": tuning.prune,
    }
    known = study.user_attrs.get("about")
    if known is None:
        base = _settled(config, data, space)
        study.set_user_attr("base", stored(base))
        study.set_user_attr("about", about)
    elif changed := _changed(known, about, data):
        raise ConfigError(
            f"the study {study.study_name} is about another {', another '.join(changed)}; choose "
            "another folder, or resume with the settings that it began with"
        )
    base = from_stored(study.user_attrs["base"])
    tried = _tried_defaults(study)
    if all(one.state == TrialState.FAIL for one in tried):
        # Of two processes that begin at the same moment one is to be enough.
        study.enqueue_trial(space.values(base), {"defaults": True}, skip_if_exists=not tried)
    return base


def _changed(known: dict[str, Any], about: dict[str, Any], data: Dataset) -> list[str]:
    """Return the names of what differs from the study's beginning."""
    if data.was_known_as(known["dataset"]):  # an earlier hangtag called the same one otherwise
        known = {**known, "dataset": about["dataset"]}
    return [name for name in about if known[name] != about[name]]


def _tried_defaults(study: Study) -> list[FrozenTrial]:
    """Return the trials of the defaults.

    Whoever finds one dead first fails it, then requeues it: where all have failed, and one only
    just now, wait for that moment.
    """
    until = time.monotonic() + QUEUEING
    while True:
        trials = study.get_trials(deepcopy=False)
        tried = [one for one in trials if one.user_attrs.get("defaults")]
        now = datetime.now()
        fresh = any(
            one.datetime_complete and now - one.datetime_complete < timedelta(seconds=QUEUEING)
            for one in tried
        )
        failed = all(one.state == TrialState.FAIL for one in tried)
        if not (failed and fresh) or time.monotonic() > until:
            return tried
        time.sleep(0.1)


def _settled(config: TrainConfig, data: Dataset, space: Space) -> TrainConfig:
    """Return the configuration with all that is left to the run decided once, for all trials.

    But the weight decay, where the space has the optimiser alone: what is right follows from it.
    """
    designs, tags = len(data.labels("train")), data.vocabulary.names
    chosen = replace(
        resolved(config),
        epochs=config.epochs or automatic_epochs(config, designs),
        batch_size=min(batch_size(config, designs), designs),
        hue=recipe.hue(config, tags),
    )
    precision = choose_precision(chosen, len(tags), Accelerator().device)
    base: TrainConfig = replace(chosen, precision=precision)
    if "optimizer" in space.ranges and "weight_decay" not in space.ranges:
        base = TrainConfig(**{**vars(base), "weight_decay": config.weight_decay})
    return base


def _work_alone(job: Job) -> None:
    study = job.study()
    Worker(job, study).work(Reporter(job, study))


def _work_together(job: Job) -> None:
    """Run workers in processes of their own; one that dies is replaced, its trial taken up."""
    study, context = job.study(), Context()
    reporter, failures = Reporter(job, study), context.SimpleQueue()

    def start() -> BaseProcess:
        process = context.Process(target=_worker_process, args=(job, failures), daemon=True)
        process.start()
        return process

    workers, losses, done = [start() for _ in range(job.tuning.parallel)], 0, 0
    try:
        while workers:
            time.sleep(0.5)
            before, done = done, reporter.report()
            losses = 0 if done > before else losses
            for worker in [one for one in workers if not one.is_alive()]:
                workers.remove(worker)
                if not failures.empty():
                    raise failures.get()
                if worker.exitcode:
                    losses += 1
                    _count_loss(losses, worker.exitcode)
                    requeue_stale(study)
                    workers.append(start())
    except BaseException:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.join()
        raise
    reporter.report()


def _count_loss(losses: int, exit_code: int) -> None:
    note(f"a worker died (exit code {exit_code}); another resumes its trial")
    if losses == LOSSES:
        raise TrainingError(
            f"workers keep dying (exit code {exit_code}); if memory is short, lower --parallel"
        )


def _worker_process(job: Job, failures: "SimpleQueue[HangtagError]") -> None:
    """Work in a process of its own, silently."""
    if hasattr(os, "setsid"):
        os.setsid()  # Ctrl-C is for the process that started this one; it sends SIGTERM
    torch.set_num_threads(max(1, cores() // job.tuning.parallel))
    os.environ["LOCAL_WORLD_SIZE"] = str(job.tuning.parallel)  # they share the memory
    try:
        with silenced():
            Worker(job, job.study()).work(None)
    except HangtagError as error:
        failures.put(error)
        raise SystemExit(1) from None


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM end what runs here as Ctrl-C does."""

    def handle(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt  # no library's `except Exception` swallows it

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _place_best(job: Job, study: Study) -> TuneResult:
    """Put the best trial's model into STUDY/model, trained here if it is not to be found."""
    best = best_trial(study)
    if best is None:
        raise TrainingError(
            f"no trial of {job.folder} has ended yet; run the same command again with more --hours"
        )
    model, source = job.folder / MODEL, job.place(best)
    if not (source / CONFIG_FILE).exists():  # on another machine, or of a head not written yet
        note("training the model of the best trial ...")
        chosen = best.params
        config = resolved(
            job.base if best.user_attrs.get("defaults") else job.space.config(job.base, chosen)
        )
        features = job.features(config)
        train(
            job.dataset, source, config, tags_file=job.tags_file, features=features, overwrite=True
        )  # the study's own folder
    _copy(source, model)
    done = finished(study.get_trials(deepcopy=False))
    return TuneResult(
        model,
        len(done),
        sum(trial.state.name == "PRUNED" for trial in done),
        best.number,
        float(best.value or 0),
        next((trial.value for trial in done if trial.user_attrs.get("defaults")), None),
        sum(trial.last_step or 0 for trial in done) / job.epochs,
    )


def _copy(source: Path, model: Path) -> None:
    """Copy a model folder in place of another, whole; linked files take no space."""
    fresh, old = model.with_name(".model.new"), model.with_name(".model.old")
    for path in (fresh, old):
        shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(source, fresh, copy_function=_link)
    with suppress(FileNotFoundError):
        model.rename(old)
    fresh.rename(model)
    shutil.rmtree(old, ignore_errors=True)


def _link(source: str, target: str) -> None:
    try:
        Path(target).hardlink_to(source)
    except OSError:  # another file system, or one without links
        shutil.copy2(source, target)
