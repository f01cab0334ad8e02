"""Many runs on one dataset, losers stopped early: DATASET/ -> STUDY/ with the best MODEL/ in it.

hangtag tune DATASET STUDY
"""

import csv
import json
import multiprocessing
import os
import shutil
import signal
import threading
import time
import warnings
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from multiprocessing.process import BaseProcess
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from types import FrameType
from typing import Any, Final

import numpy as np
import optuna
import torch
from accelerate import Accelerator
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial

from hangtag.console import note, set_quiet, silenced, track
from hangtag.dataset.dataset_folder import DatasetFolder
from hangtag.dataset.workers import cores
from hangtag.errors import ConfigError, HangtagError, Stopped, TrainingError
from hangtag.tagging.model_folder import HISTORY_FILE
from hangtag.training import recipe
from hangtag.training.config import (
    Objective,
    TrainConfig,
    TuneConfig,
    automatic_epochs,
    batch_size,
)
from hangtag.training.designs import Stores
from hangtag.training.space import DEFAULT, Space
from hangtag.training.speed import choose_precision
from hangtag.training.study import (
    again,
    begun,
    best_trial,
    finished,
    first_number,
    open_study,
    sign,
    take_up_dead,
)
from hangtag.training.train import train

TRIALS: Final = "trials"
MODEL: Final = "model"
# Of so many trials that reach a rung one goes on, and the first rung is this share of all epochs.
REDUCTION: Final = 3
FIRST_RUNG: Final = 1 / 14
# Workers that die without finishing a trial before the study gives up.
LOSSES: Final = 5


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


class _TimeUp(Stopped):
    """The time of this call is over."""


@dataclass(frozen=True)
class _Job:
    """What every worker of a study needs; goes to other processes."""

    dataset: Path
    tags_file: Path | None
    folder: Path
    storage: str
    base: TrainConfig
    space: Space
    objective: Objective
    tuning: TuneConfig
    deadline: float  # time.time() at which this call ends

    def study(self) -> Study:
        study = open_study(self.folder, self.storage)
        study.pruner = self.pruner()
        return study

    def pruner(self) -> BasePruner:
        if not self.tuning.prune:
            return NopPruner()
        least = max(1, round(self.base.epochs * FIRST_RUNG))
        return SuccessiveHalvingPruner(min_resource=least, reduction_factor=REDUCTION)

    @property
    def key(self) -> str:
        """The column of history.csv that the objective names."""
        return self.objective.replace(":", "_")

    def place(self, trial: FrozenTrial) -> Path:
        """Where a trial trains; one that goes on with another trains in its folder."""
        return self.folder / TRIALS / f"{first_number(trial):04d}"


def tune(
    dataset: Path,
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
    config, tuning, space = config or TrainConfig(), tuning or TuneConfig(), space or Space(DEFAULT)
    if config.minutes:
        raise ConfigError("a study compares equal epochs: give --epochs, not --minutes")
    data = DatasetFolder.open(dataset, tags_file)
    folder.mkdir(parents=True, exist_ok=True)
    study = open_study(folder, storage, create=True)
    objective = space.objective or "validation:macro_map"
    deadline = time.time() + 3600 * tuning.hours if tuning.hours else float("inf")
    base = _begin(study, data, config, tuning, space, objective)
    job = _Job(dataset, tags_file, folder, storage, base, space, objective, tuning, deadline)
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
            + "; the same command goes on from here"
        ) from stop
    return _place_best(job, study)


def _begin(
    study: Study,
    data: DatasetFolder,
    config: TrainConfig,
    tuning: TuneConfig,
    space: Space,
    objective: Objective,
) -> TrainConfig:
    """Write down what the study is about, or check that it is the same; return its base."""
    ranges = {name: distribution_to_json(one) for name, one in space.ranges.items()}
    about = {
        "dataset": data.fingerprint(),
        "config": json.loads(json.dumps(asdict(config))),
        "space": ranges,
        "objective": objective,
        "prune": tuning.prune,
    }
    known = study.user_attrs.get("about")
    if known is None:
        base = _settled(config, data)
        study.set_user_attr("base", asdict(base))
        study.set_user_attr("about", about)
    elif changed := [name for name in about if known[name] != about[name]]:
        raise ConfigError(
            f"the study {study.study_name} is about another {', another '.join(changed)}; choose "
            "another folder, or go on with the settings that it began with"
        )
    stored = study.user_attrs["base"]
    base = TrainConfig(**{**stored, "step_epochs": tuple(stored["step_epochs"])})
    if not study.get_trials(deepcopy=False):
        study.enqueue_trial(space.values(base), {"defaults": True}, skip_if_exists=True)
    return base


def _settled(config: TrainConfig, data: DatasetFolder) -> TrainConfig:
    """Return the configuration with all that is left to the run decided once, for all trials."""
    designs, tags = len(data.labels("train")), data.vocabulary.names
    config = replace(
        config,
        epochs=config.epochs or automatic_epochs(designs),
        batch_size=min(batch_size(config, designs), designs),
        hue=recipe.hue(config, tags),
    )
    precision = choose_precision(config, len(tags), Accelerator().device)
    return replace(config, precision=precision)


def _work_alone(job: _Job) -> None:
    study = job.study()
    _Worker(job, study).work(_Teller(job, study))


def _work_together(job: _Job) -> None:
    """Run workers in processes of their own; one that dies is replaced, its trial taken up."""
    study, context = job.study(), multiprocessing.get_context("spawn")
    teller, failures = _Teller(job, study), context.SimpleQueue()

    def start() -> BaseProcess:
        process = context.Process(target=_worker_process, args=(job, failures), daemon=True)
        process.start()
        return process

    workers, losses, done = [start() for _ in range(job.tuning.parallel)], 0, 0
    try:
        while workers:
            time.sleep(0.5)
            before, done = done, teller.tell()
            losses = 0 if done > before else losses
            for worker in [one for one in workers if not one.is_alive()]:
                workers.remove(worker)
                if not failures.empty():
                    raise failures.get()
                if worker.exitcode:
                    losses += 1
                    _count_loss(losses, worker.exitcode)
                    take_up_dead(study)
                    workers.append(start())
    except BaseException:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.join()
        raise
    teller.tell()


def _count_loss(losses: int, exit_code: int) -> None:
    note(f"a worker died (exit code {exit_code}); another goes on with its trial")
    if losses == LOSSES:
        raise TrainingError(
            f"workers keep dying (exit code {exit_code}); if memory is short, lower --parallel"
        )


def _worker_process(job: _Job, failures: "SimpleQueue[HangtagError]") -> None:
    """Work in a process of its own, without a word."""
    if hasattr(os, "setsid"):
        os.setsid()  # Ctrl-C is for the process that started this one; it tells by SIGTERM
    set_quiet(True)
    torch.set_num_threads(max(1, cores() // job.tuning.parallel))
    try:
        _Worker(job, job.study()).work(None)
    except HangtagError as error:
        failures.put(error)
        raise SystemExit(1) from None


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM end what runs here as Ctrl-C does."""

    def handle(number: int, frame: FrameType | None) -> None:
        raise Stopped

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class _Worker:
    """Takes trial after trial, until all are begun or the time is over."""

    def __init__(self, job: _Job, study: Study) -> None:
        self.job, self.study = job, study
        self.stores: Stores = {}
        self.number: int | None = None

    def work(self, teller: "_Teller | None") -> None:
        take_up_dead(self.study)
        while time.time() < self.job.deadline and self._more():
            self.number = None
            self.study.sampler = self._sampler()
            try:
                self.study.optimize(self._trial, n_trials=1)
            except _TimeUp:
                self._again()
                return
            except Stopped:
                self._again()
                raise
            except HangtagError:
                raise
            except BaseException:
                self._again()
                raise
            if teller:
                teller.tell()
            _tidy(self.job, self.study)

    def _more(self) -> bool:
        """Tell whether another trial is to be begun. The defaults come first, whatever else."""
        return len(begun(self.study.get_trials(deepcopy=False))) < self.job.tuning.trials

    def _sampler(self) -> TPESampler:
        """Return the sampler of the next trial, seeded by its place: a study that was stopped and
        resumed goes the way of one that was not."""
        place = len(begun(self.study.get_trials(deepcopy=False)))
        seed = int(np.random.SeedSequence((self.job.base.seed, place)).generate_state(1)[0])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            # In groups: the defaults may lie outside of a range and so lack a name of it.
            return TPESampler(seed=seed, multivariate=True, group=True)

    def _again(self) -> None:
        if self.number is not None:
            again(self.study, self.number)

    def _trial(self, trial: Trial) -> float:
        self.number = trial.number
        sign(trial)
        job, defaults = self.job, bool(trial.user_attrs.get("defaults"))
        names = job.space.values(job.base) if defaults else job.space.ranges
        chosen = {name: _suggest(trial, name, job.space.ranges[name]) for name in names}
        config = job.base if defaults else job.space.config(job.base, chosen)
        try:
            return self._train(trial, config, defaults)
        except TrainingError as error:  # it diverged: worse than all that did not
            trial.set_user_attr("error", str(error))
            raise optuna.TrialPruned(str(error)) from error

    def _train(self, trial: Trial, config: TrainConfig, defaults: bool) -> float:
        stored = self.study.get_trials(deepcopy=False)[trial.number]
        job, place, known = self.job, self.job.place(stored), stored.intermediate_values
        bar = _bar(f"trial {trial.number}", config.epochs)
        next(bar)

        def on_epoch(row: dict[str, float]) -> None:
            next(bar)
            epoch = int(row["epoch"])
            if epoch not in known:
                trial.report(row[job.key], epoch)
            if epoch == config.epochs:
                return
            # Asked for the defaults too, so that others are compared with them.
            if trial.should_prune() and not defaults:
                raise optuna.TrialPruned
            if time.time() > job.deadline:
                raise _TimeUp
            parent = multiprocessing.parent_process()
            if parent is not None and not parent.is_alive():
                raise Stopped  # nobody is left who could be asked to stop

        with silenced(), closing(bar):
            result = train(
                job.dataset,
                place,
                config,
                tags_file=job.tags_file,
                on_epoch=on_epoch,
                stores=self.stores,
            )
        with (place / HISTORY_FILE).open(newline="") as file:
            return float(list(csv.DictReader(file))[result.best_epoch - 1][job.key])


def _bar(title: str, epochs: int) -> Generator[None]:
    """Give a progress bar that every `next` after the first moves on."""
    for _ in track(range(epochs + 1), title, total=epochs):
        yield


def _suggest(trial: Trial, name: str, one: BaseDistribution) -> Any:
    if isinstance(one, CategoricalDistribution):
        return trial.suggest_categorical(name, one.choices)
    if isinstance(one, IntDistribution):
        return trial.suggest_int(name, one.low, one.high, log=one.log)
    assert isinstance(one, FloatDistribution)
    return trial.suggest_float(name, one.low, one.high, log=one.log)


class _Teller:
    """Says how trials ended, wherever they ran."""

    def __init__(self, job: _Job, study: Study) -> None:
        self.job, self.study = job, study
        self.told = {trial.number for trial in finished(study.get_trials(deepcopy=False))}

    def tell(self) -> int:
        """Say a line for each trial that has ended since the last call; return how many have."""
        ended = finished(self.study.get_trials(deepcopy=False))
        best = best_trial(self.study)
        for trial in ended:
            if trial.number not in self.told:
                self.told.add(trial.number)
                note(_line(trial, best, len(self.told), self.job.tuning.trials))
        return len(ended)


def _line(trial: FrozenTrial, best: FrozenTrial | None, done: int, trials: int) -> str:
    epochs, value = len(trial.intermediate_values), trial.value
    said = "diverged" if value is None else f"{value:.4f} after {epochs} epochs"
    if best is None:
        standing = ""
    elif trial.number == best.number:
        standing = ", the best so far"
    else:
        standing = f"; best {best.value:.4f}, trial {best.number}"
    return f"{done}/{trials}: trial {trial.number} {said}{standing}"


def _tidy(job: _Job, study: Study) -> None:
    """Remove what trials left that are neither the best nor still needed."""
    trials, best = study.get_trials(deepcopy=False), best_trial(study)
    done = {job.place(trial) for trial in finished(trials)}
    needed = {job.place(trial) for trial in trials if not trial.state.is_finished()}
    if best is not None:
        needed.add(job.place(best))
    for place in done - needed:
        shutil.rmtree(place, ignore_errors=True)


def _place_best(job: _Job, study: Study) -> TuneResult:
    """Put the best trial's model into STUDY/model; train it again if it is not on this machine."""
    best = best_trial(study)
    if best is None:
        raise TrainingError(
            f"no trial of {job.folder} has come to its end yet; the same command goes on, with "
            "more --hours"
        )
    model, source = job.folder / MODEL, job.place(best)
    if source.exists():
        _copy(source, model)
    else:
        note("the best trial's model lies on another machine: training it again ...")
        chosen = best.params
        config = job.base if best.user_attrs.get("defaults") else job.space.config(job.base, chosen)
        train(job.dataset, model, config, tags_file=job.tags_file, overwrite=True)
    done = finished(study.get_trials(deepcopy=False))
    return TuneResult(
        model,
        len(done),
        sum(trial.state.name == "PRUNED" for trial in done),
        best.number,
        float(best.value or 0),
        next((trial.value for trial in done if trial.user_attrs.get("defaults")), None),
        sum(len(trial.intermediate_values) for trial in done) / job.base.epochs,
    )


def _copy(source: Path, model: Path) -> None:
    """Copy a model folder in place of another, whole; linked files take no room."""
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
