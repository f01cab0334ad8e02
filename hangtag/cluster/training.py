"""A whole network trained on a cluster: Ray Train around the same training function.

Every worker is a process of one data-parallel run. When one is lost, Ray starts all anew, and they
resume from the run's own checkpoint in the model folder, which all nodes share.
"""

import json
import logging
import shutil
from pathlib import Path
from typing import Any, Final

from hangtag import errors
from hangtag.console import note
from hangtag.dataset.dataset_folder import Dataset
from hangtag.storage.files import read_object, write_text
from hangtag.tagging.model_folder import HISTORY_FILE
from hangtag.training import history
from hangtag.training.config import TrainConfig
from hangtag.training.train import train

_FAILED: Final = "failed.json"


def train_on_cluster(
    dataset: Dataset, model: Path, config: TrainConfig, continue_from: Path | None, overwrite: bool
) -> None:
    """Train into `model`, by one worker for each GPU, or for each node of a cluster without GPUs.

    Raises what `hangtag.training.train.train` raises.
    """
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    logging.getLogger("ray.train").setLevel(logging.ERROR)
    work = model.resolve().with_name(f".{model.name}.ray")  # shared, as the model folder is
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    count, resources = _workers()
    note(f"training on the cluster with {count} workers")
    arguments = {
        "dataset": Dataset(dataset.path.resolve(), dataset.vocabulary, dataset.info),
        "model": model.resolve(), "config": config,
        "continue_from": continue_from, "overwrite": overwrite, "work": work,
    }  # fmt: skip
    trainer = TorchTrainer(
        _train, train_loop_config=arguments,
        scaling_config=ScalingConfig(
            num_workers=count, use_gpu="GPU" in resources, resources_per_worker=resources,
        ),
        run_config=RunConfig(
            name="run", storage_path=str(work), failure_config=FailureConfig(max_failures=-1)
        ),
    )  # fmt: skip
    try:
        with history.followed(model / HISTORY_FILE):
            trainer.fit()
        if (work / _FAILED).exists():
            failed = read_object(work / _FAILED, errors.TrainingError)
            raise getattr(errors, failed["error"], errors.TrainingError)(failed["message"])
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _train(arguments: dict[str, Any]) -> None:
    """Train as one of the workers."""
    failed = arguments["work"] / _FAILED
    if failed.exists():  # an error that would come again: end, and do not start anew
        return
    try:
        train(
            arguments["dataset"], arguments["model"], arguments["config"],
            continue_from=arguments["continue_from"], overwrite=arguments["overwrite"],
        )  # fmt: skip
    except errors.HangtagError as error:
        about = {"error": type(error).__name__, "message": str(error)}
        write_text(failed, json.dumps(about))
        raise


def _workers() -> tuple[int, dict[str, float]]:
    """Return the number of workers, and what each of them takes of its node."""
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    gpus = sum(int(one.get("GPU", 0)) for one in nodes)
    if gpus:
        return gpus, {"GPU": 1, "CPU": 1}
    cores = [one["CPU"] for one in nodes if one.get("CPU", 0) >= 1]
    if not cores:
        raise errors.JobError("the cluster has no cores to train on")
    return len(cores), {"CPU": min(cores)}
