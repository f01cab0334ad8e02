"""The trials of a study as Ray tasks, on any number of nodes.

A task takes trials from the study's own storage until all have begun, as a process of `tune` on one
machine does: what it has decoded serves the next trial. A trial whose node died is requeued.
"""

import time
from typing import Any

from hangtag.cluster.connection import count_of
from hangtag.console import silenced
from hangtag.errors import ConfigError
from hangtag.processes import terminable
from hangtag.tuning.job import Job
from hangtag.tuning.reporter import Reporter
from hangtag.tuning.study import begun, requeue_stale
from hangtag.tuning.worker import Worker


def work_on_cluster(job: Job) -> None:
    """Run trials on the cluster until all are done or the time is over: see `processes.work`.

    Raises ConfigError where nodes could not reach the study's file.
    """
    import ray

    hosts = {node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}
    if len(hosts) > 1 and not job.storage:
        raise ConfigError(
            "a study on several machines needs a database that all of them reach; name it with "
            "--storage postgresql://..."
        )
    study = job.study()
    reporter, running = Reporter(study, job.tuning.trials), list[Any]()
    with terminable():
        while reporter.report() < job.tuning.trials and time.time() < job.deadline:
            requeue_stale(study)
            left = job.tuning.trials - len(begun(study.get_trials(deepcopy=False)))
            while len(running) < min(_at_once(job), len(running) + left):
                running.append(_task().remote(job))
                left -= 1
            ended, running = ray.wait(running, timeout=1.0) if running else ([], running)
            ray.get(ended)  # raises what a trial raised
            if not ended and not running:
                time.sleep(1.0)  # until the heartbeat of a lost trial has stopped
        ray.get(running)
    reporter.report()


def _trials(job: Job) -> None:
    with silenced():
        Worker(job, job.study()).work(None)


def _task() -> Any:
    import ray

    return ray.remote(num_cpus=1, num_gpus=min(1, count_of("GPU")), max_retries=-1)(_trials)


def _at_once(job: Job) -> int:
    """Return how many trials to run: one for each GPU, else each core, at most --parallel."""
    slots = max(1, count_of("GPU") or count_of("CPU"))
    return slots if job.tuning.parallel == 1 else min(slots, job.tuning.parallel)
