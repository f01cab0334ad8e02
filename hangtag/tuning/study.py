"""A study on disk: Optuna's storage, and what hangtag records of each trial. No torch.

Trials whose process died are requeued: at once by the same machine, which sees its processes, and
by any other machine once the trial's heartbeat has stopped.
"""

import copy
import os
import socket
import time
import warnings
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import optuna
import psutil
from optuna.exceptions import ExperimentalWarning, UpdateFinishedTrialError
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy import URL, Connection, event, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from hangtag.errors import ConfigError, MissingExtra

DATABASE: Final = "study.db"
# Seconds between two heartbeats of a trial, and without one until it counts as dead.
HEARTBEAT: Final = 15
GRACE: Final = 90
# A trial whose process has died this often is not requeued.
DEATHS: Final = 5
_FINISHED: Final = (TrialState.COMPLETE, TrialState.PRUNED)


def open_study(folder: Path, storage: str = "", *, create: bool = False) -> Study:
    """Open the study of a folder, in `storage` (a database URL) or else in the folder itself.

    In a database it has the folder's name. Raises ConfigError when it cannot be opened.
    """
    if not storage and not create and not (folder / DATABASE).exists():
        raise ConfigError(
            f"{folder} holds no study; begin one with `hangtag tune DATASET {folder}`"
        )
    url = _url(storage) if storage else database_url(folder)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    name = folder.resolve().name
    for attempt in range(4):
        try:
            opened = _storage(url)
            if create:
                return optuna.create_study(
                    study_name=name, storage=opened, direction="maximize", load_if_exists=True
                )
            return optuna.load_study(study_name=name, storage=opened)
        except KeyError as cause:
            raise ConfigError(f"the database has no study {name!r}") from cause
        except ImportError as cause:
            raise ConfigError(
                f"--storage: the driver of this database is missing: {cause}"
            ) from cause
        except (SQLAlchemyError, RuntimeError) as cause:
            reason = str(cause).splitlines()[0]
        # Processes that begin at the same moment create the tables at the same moment.
        time.sleep(0.5 * 2**attempt)
    raise ConfigError(f"the study's database cannot be used: {reason}")


def database_url(folder: Path) -> str:
    """Return the URL of the database in a study's folder, whatever characters its path has."""
    path = str((folder / DATABASE).resolve())
    return URL.create("sqlite", database=path).render_as_string()


def _url(storage: str) -> str:
    """Return the URL with the driver that the extra `postgres` brings.

    Raises MissingExtra, and ConfigError for anything but a database URL.
    """
    try:
        url = make_url(storage)
    except (ArgumentError, ValueError) as cause:  # which may quote a password
        raise ConfigError(
            "--storage: give a database URL, such as postgresql://user@host/name; write other "
            "characters than letters and digits in a user's name or password as %40 for @"
        ) from cause
    if url.drivername not in ("postgres", "postgresql"):
        return storage
    try:
        import psycopg  # noqa: F401
    except ImportError as cause:
        raise MissingExtra("a study in PostgreSQL", "postgres") from cause
    return url.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)


def _storage(url: str) -> RDBStorage:
    # A connection for each use: a trial takes minutes to hours, and idle connections are closed.
    options: dict[str, Any] = {"poolclass": NullPool}
    sqlite = url.startswith("sqlite")
    if sqlite:
        options["connect_args"] = {"timeout": 60}  # seconds that a write waits for another's
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        storage = RDBStorage(
            url.replace("{", "{{").replace("}", "}}"),  # Optuna formats it as a template
            engine_kwargs=options,
            heartbeat_interval=HEARTBEAT,
            grace_period=GRACE,
            heartbeat_stale_trial_callback=_Retry(DEATHS),
        )
    if sqlite:
        event.listen(storage.engine, "begin", _begin_at_once)
    return storage


def _begin_at_once(connection: Connection) -> None:
    """Begin a transaction of SQLite before it reads.

    Python's driver begins one at the first write, and SQLite has no SELECT ... FOR UPDATE: two
    processes that read the same queued trial would both run it.
    """
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def first_number(trial: FrozenTrial) -> int:
    """Return the number of the trial that this one resumes, or its own."""
    return int(trial.system_attrs.get("failed_trial", trial.number))


def finished(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials that ran to their end or were pruned."""
    return [trial for trial in trials if trial.state in _FINISHED]


def begun(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials that are finished or running."""
    return [trial for trial in trials if trial.state in (*_FINISHED, TrialState.RUNNING)]


def best_trial(study: Study) -> FrozenTrial | None:
    """Return the best trial that ran to its end; None before there is one."""
    try:
        return study.best_trial
    except ValueError:
        return None


def sign(trial: Trial) -> None:
    """Record which process runs a trial."""
    process = psutil.Process()
    trial.set_user_attr(
        "worker",
        {"host": socket.gethostname(), "pid": process.pid, "began": process.create_time()},
    )


def requeue(study: Study, number: int, most: int | None = None) -> None:
    """Queue an unfinished trial once more; do nothing for others.

    `most`: how many times at most, for a trial found dead, which only one finder may queue.
    """
    trial = study.get_trials(deepcopy=False)[number]
    if trial.state == TrialState.RUNNING:
        try:
            study.tell(number, state=TrialState.FAIL)
        except (UpdateFinishedTrialError, ValueError):
            return  # another process was first, and queues it
    elif trial.state != TrialState.FAIL or most is not None:
        return  # it has ended, or another process found it dead first
    _Retry(most)(study, trial)


class _Retry:
    """Queues a dead trial once more, with all that it recorded but the process that ran it.

    Between its beginning and its signature the new one would look as dead as the old one.
    """

    def __init__(self, most: int | None) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            self._queue = RetryHeartbeatStaleTrialCallback(most, inherit_intermediate_values=True)

    def __call__(self, study: Study, trial: FrozenTrial) -> None:
        unsigned = copy.deepcopy(trial)
        unsigned.user_attrs.pop("worker", None)
        self._queue(study, unsigned)


def requeue_stale(study: Study) -> None:
    """Requeue the trials whose process died, on this machine or another."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if _is_dead(trial):
            requeue(study, trial.number, DEATHS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        optuna.storages.fail_stale_trials(study)


def _is_dead(trial: FrozenTrial) -> bool:
    worker = trial.user_attrs.get("worker")
    if worker is None:  # its process died before it was recorded, or will be recorded in a moment
        began = trial.datetime_start
        return began is not None and (datetime.now() - began).total_seconds() > GRACE
    if worker["host"] != socket.gethostname():
        return False
    if worker["pid"] == os.getpid():
        return False
    try:
        # Relative to the boot time, which Linux reports in whole seconds and may correct.
        return bool(abs(psutil.Process(worker["pid"]).create_time() - worker["began"]) > 30)
    except psutil.NoSuchProcess:
        return True
