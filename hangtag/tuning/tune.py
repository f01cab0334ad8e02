"""Many runs on one dataset, poor ones stopped early: DATASET/ -> STUDY/ with the best MODEL/ in it.

hangtag tune DATASET STUDY
"""

import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from optuna.study import Study

from hangtag.console import note
from hangtag.dataset.dataset_folder import Dataset
from hangtag.errors import ConfigError, Stopped, TrainingError
from hangtag.tagging.model_folder import CONFIG_FILE
from hangtag.training.config import TrainConfig
from hangtag.training.defaults import resolved
from hangtag.training.speed import limit_threads
from hangtag.training.train import train
from hangtag.tuning.config import TuneConfig
from hangtag.tuning.definition import Definition
from hangtag.tuning.job import TRIALS, Job
from hangtag.tuning.processes import work
from hangtag.tuning.space import Space
from hangtag.tuning.study import DATABASE, best_trial, finished, open_study

MODEL: Final = "model"


@dataclass(frozen=True)
class TuneResult:
    """How a study stands."""

    model: Path
    trials: int
    """Finished trials."""

    pruned: int
    best_trial: int
    best: float
    """The objective, on validation."""

    defaults: float | None
    """The same with the starting settings; None before they are done."""

    trainings: float
    """What all trials cost, in full trainings."""


def tune(
    dataset: Dataset | Path,
    folder: Path,
    config: TrainConfig | None = None,
    tuning: TuneConfig | None = None,
    space: Space | None = None,
    *,
    storage: str = "",
    run: Callable[[Job], None] = work,
) -> TuneResult:
    """Search for better settings than `config`, which is the first trial; the same call resumes.

    Any number of processes and machines can work on one study: same folder name, same `storage` (a
    database URL; by default a file in the folder). `folder`/model is complete whenever this
    returns, and after Stopped if a trial was done. `run` runs the trials: in processes of this
    machine, or elsewhere. Raises what `train` raises, and ConfigError if the study is about
    something else.
    """
    limit_threads()
    config, tuning = config or TrainConfig(), tuning or TuneConfig()
    # A kernel head chooses its settings itself, so a study is about networks and linear heads.
    config = replace(config, freeze=bool(config.freeze), head="linear")
    space = space or Space.default(config)
    if config.minutes:
        raise ConfigError("a study compares equal epochs: give --epochs, not --minutes")
    data = Dataset.open(dataset)
    study = _opened(folder, storage)
    objective = space.objective or "validation:macro_map"
    deadline = time.time() + 3600 * tuning.hours if tuning.hours else float("inf")
    base = Definition(data, config, space, objective, tuning.prune).begin(study)
    job = Job(data, folder, storage, base, space, objective, tuning, deadline)
    try:
        run(job)
    except (Stopped, KeyboardInterrupt) as stop:
        raise _stopped(job, study) from stop
    return _export_best(job, study)


def _opened(folder: Path, storage: str) -> Study:
    """Open or create a study. Raises ConfigError for a folder with anything else in it."""
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()) and not any((folder / name).exists() for name in (DATABASE, TRIALS)):
        raise ConfigError(f"{folder} holds other files; choose a new folder for the study")
    (folder / TRIALS).mkdir(exist_ok=True)  # by which the next call recognises the folder
    return open_study(folder, storage, create=True)


def _stopped(job: Job, study: Study) -> Stopped:
    """Return the error of a stop; export the best model so far."""
    done = len(finished(study.get_trials(deepcopy=False)))
    message = f"stopped with {done} of {job.tuning.trials} trials done, all is saved"
    if best_trial(study) is not None:
        message += f", the best so far in {_export_best(job, study).model}"
    return Stopped(f"{message}; run the same command again to resume")


def _export_best(job: Job, study: Study) -> TuneResult:
    """Copy the best trial's model to STUDY/model; train it first if its folder is not here."""
    best = best_trial(study)
    if best is None:
        raise TrainingError(
            f"no trial of {job.folder} has ended yet; run the same command again with more --hours"
        )
    model, source = job.folder / MODEL, job.trial_folder(best)
    if not (source / CONFIG_FILE).exists():  # on another machine, or a head, which no trial writes
        note("training the model of the best trial ...")
        defaults = best.user_attrs.get("defaults")
        config = resolved(job.base if defaults else job.space.config(job.base, best.params))
        train(job.dataset, source, config, overwrite=True)
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
    """Replace a model folder by a copy of another, whole, with hard links where possible."""
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
