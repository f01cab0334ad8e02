"""`hangtag sagemaker train` and `tune`: jobs on a dataset in a bucket."""

from pathlib import Path
from typing import TYPE_CHECKING

from hangtag.cli.options import Output, Result
from hangtag.cli.sagemaker_options import (
    Algorithm,
    DryRun,
    JobOptions,
    carry_out,
    image_of,
    name_of,
)
from hangtag.errors import ConfigError, MissingExtra

if TYPE_CHECKING:
    from hangtag.sagemaker.account import Account
    from hangtag.sagemaker.datasets import PackedDataset
    from hangtag.sagemaker.requests import Training


def train(
    dataset: str, /, options: JobOptions, *, wait: bool = False,
    dry_run: DryRun = False, output: Output | None = None,
) -> Result:  # fmt: skip
    """Start a training job on a dataset in a bucket.

    Parameters
    ----------
    dataset
        s3://BUCKET/PREFIX, packed by hangtag or in the SageMaker layout.
    wait
        Wait until the job has ended.
    """
    from hangtag.sagemaker import requests
    from hangtag.sagemaker.account import Account

    account = Account()
    name = name_of(options.name, "train")
    job, _ = _training(account, dataset, options)
    calls = [("create_training_job", requests.training_job(name, job))]
    model = f"{job.output}/{name}/output/model.tar.gz"
    lines = [
        f"{name}: {_paid(options)}, model -> {model}",
        f"next: hangtag sagemaker deploy {name} --role ... --instance-type ...",
    ]
    done = Result(lines, {"name": name, "model": model})
    return carry_out(account, calls, name, done, wait=wait, dry_run=dry_run)


def tune(
    dataset: str, /, options: JobOptions, *, trials: int, parallel: int = 1,
    space: Path | None = None, objective: str | None = None, wait: bool = False,
    dry_run: DryRun = False, output: Output | None = None,
) -> Result:  # fmt: skip
    """Start a hyperparameter tuning job: many training jobs, each of which costs.

    `hangtag tune` on one machine usually finds as good settings for a fraction of the cost, because
    it prunes trials.

    Parameters
    ----------
    dataset
        s3://BUCKET/PREFIX, packed by hangtag or in the SageMaker layout.
    trials
        Number of training jobs in all.
    parallel
        Number of jobs at a time.
    space
        File of the settings to try: .json, or a notebook of the SageMaker SDK; by default hangtag's
        search space, or SageMaker's with --algorithm built-in.
    objective
        validation:macro_map, validation:micro_map or validation:accuracy; by default the objective
        in SPACE, else macro_map, or accuracy with --algorithm built-in.
    wait
        Wait until the job has ended.
    """
    from hangtag.sagemaker import requests
    from hangtag.sagemaker.account import Account

    if parallel < 1 or trials < parallel:
        raise ConfigError("--trials must be at least --parallel, and both at least 1")
    try:
        from hangtag.sagemaker.tuning import check_ranges, default_ranges, ranges_of
        from hangtag.tuning.space import Space
    except ImportError as cause:  # Optuna's ranges
        raise MissingExtra("tuning", "train") from cause

    account = Account()
    name = name_of(options.name, "tune", longest=32)
    found = Space.read(space) if space else None
    goal = _goal(objective or (found.objective if found else None), options.algorithm)
    job, packed = _training(account, dataset, options)
    ranges = ranges_of(found) if found else default_ranges(packed, job)
    check_ranges(packed, job, ranges)
    request = requests.tuning_job(
        name, job, ranges, objective=goal, trials=trials, parallel=parallel
    )
    calls = [("create_hyper_parameter_tuning_job", request)]
    done = Result([f"{name}: {trials} jobs, each {_paid(options)}"], {"name": name})
    return carry_out(account, calls, name, done, wait=wait, dry_run=dry_run)


def _goal(objective: str | None, algorithm: Algorithm) -> str:
    """Return what a tuning job maximises. Raises ConfigError for what is not measured."""
    from hangtag.tuning.space_files import OBJECTIVES

    own = algorithm == "hangtag"
    goal = objective or ("validation:macro_map" if own else "validation:accuracy")
    if goal not in (OBJECTIVES if own else ("validation:accuracy",)):
        raise ConfigError(
            f"--objective {goal}: choose one of {', '.join(OBJECTIVES)}; the built-in algorithm "
            "measures validation:accuracy only"
        )
    return goal


def _training(
    account: "Account", dataset: str, options: JobOptions
) -> "tuple[Training, PackedDataset]":
    from hangtag.sagemaker import datasets, requests

    own = options.algorithm == "hangtag"
    if options.resume and not own:
        raise ConfigError("--resume: the built-in algorithm writes no checkpoints to resume from")
    machines = requests.Machines(
        instance_type=options.instance_type, max_hours=options.max_hours, count=options.instances,
        volume_gib=options.volume_gib, spot=options.spot, max_wait_hours=options.max_wait_hours,
    )  # fmt: skip
    image = image_of(account, options.algorithm, options.image, "train")
    packed = datasets.PackedDataset.at(dataset)
    given = options.settings()
    if own:
        settings = datasets.own_settings(packed, given, options.instances)
    else:
        settings = datasets.built_in_settings(packed, given)
    job = requests.Training(
        image=image,
        role=options.role,
        dataset=packed.address,
        output=(options.output or f"{packed.address}/output").rstrip("/"),
        machines=machines,
        hyperparameters=settings,
        extra_files=packed.extra_files if own else (),
        model=options.start_from,
        own=own,
        resumed=requests.full_name(options.resume) if options.resume else None,
    )
    return job, packed


def _paid(options: JobOptions) -> str:
    return f"{options.instances} x {options.instance_type} for at most {options.max_hours:g} h"
