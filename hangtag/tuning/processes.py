"""The workers of a study on this machine: in this process, or in several."""

import os
import time
from multiprocessing.process import BaseProcess
from multiprocessing.queues import SimpleQueue
from typing import Final

import torch

from hangtag.console import note, silenced
from hangtag.cores import cores
from hangtag.errors import HangtagError, TrainingError
from hangtag.processes import Context, terminable
from hangtag.tuning.job import Job
from hangtag.tuning.reporter import Reporter
from hangtag.tuning.study import requeue_stale
from hangtag.tuning.worker import Worker

# Workers in a row that die without finishing a trial before the study gives up.
LOSSES: Final = 5


def work(job: Job) -> None:
    """Run trials until all are done, the time is over, or SIGTERM or Ctrl-C. Raises what `Worker`
    raises; KeyboardInterrupt after SIGTERM."""
    with terminable():
        _work_alone(job) if job.tuning.parallel == 1 else _work_together(job)


def _work_alone(job: Job) -> None:
    study = job.study()
    Worker(job, study).work(Reporter(study, job.tuning.trials))


def _work_together(job: Job) -> None:
    """Run workers in processes of their own; replace one that dies, and requeue its trial."""
    study, context = job.study(), Context()
    reporter, failures = Reporter(study, job.tuning.trials), context.SimpleQueue()

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
    """Run a worker in a process of its own, without output."""
    if hasattr(os, "setsid"):
        os.setsid()  # so that Ctrl-C reaches only the main process, which sends SIGTERM
    torch.set_num_threads(max(1, cores() // job.tuning.parallel))
    os.environ["LOCAL_WORLD_SIZE"] = str(job.tuning.parallel)  # they share the memory
    try:
        with silenced():
            Worker(job, job.study()).work(None)
    except HangtagError as error:
        failures.put(error)
        raise SystemExit(1) from None
