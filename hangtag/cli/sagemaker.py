"""Commands of `hangtag sagemaker`. boto3 is imported when a command runs."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from hangtag.cli.options import OUTPUT, Hours, Output, Result
from hangtag.errors import ConfigError, JobError, MissingExtra
from hangtag.storage.addresses import S3

if TYPE_CHECKING:
    from hangtag.sagemaker.account import Account, Call
    from hangtag.sagemaker.datasets import PackedDataset
    from hangtag.sagemaker.requests import Training

app = App(
    name="sagemaker",
    help="Train, tune and serve on Amazon SageMaker, in your own account and at your own cost.",
)
DryRun = Annotated[bool, Parameter(group=OUTPUT, help="Print the requests as JSON; send nothing.")]
Algorithm = Literal["hangtag", "built-in"]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class JobOptions:
    """The machines and inputs of a training or tuning job; nothing that costs has a default."""

    role: str
    """ARN of the IAM role that SageMaker assumes."""
    instance_type: str
    """Type of the machines, such as ml.g5.xlarge; see SageMaker's price list."""
    max_hours: Hours
    """Longest time of a job in hours, or such as 90m; then SageMaker stops it."""
    algorithm: Algorithm = "hangtag"
    """hangtag's container, or SageMaker's built-in image classification."""
    image: str | None = None
    """hangtag's training image in your registry (Dockerfile, target train)."""
    name: str | None = None
    """Name of the job, after the prefix hangtag-; by default the time."""
    output: str | None = None
    """s3://BUCKET/PREFIX for models and checkpoints; by default output/ in the dataset."""
    hyperparameters: Path | None = None
    """A JSON file of hyperparameters."""
    set: tuple[str, ...] = ()
    """A hyperparameter as NAME=VALUE, in place of the file's; may be given several times."""
    start_from: str | None = None
    """s3://.../model.tar.gz to continue training from."""
    resume: str | None = None
    """Name of a job with the same settings that its time limit stopped, to resume."""
    instances: int = 1
    """Number of machines that train together."""
    volume_gib: int = 50
    """Disk of each machine."""
    spot: bool = False
    """Use spot capacity: cheaper, may stop at any time; hangtag resumes from checkpoints."""
    max_wait_hours: Hours | None = None
    """With --spot: longest time of a job in hours, waiting included."""

    def settings(self) -> dict[str, str]:
        """Return the hyperparameters that the options give. Raises ConfigError."""
        from hangtag.sagemaker.hyperparameters import read_hyperparameters

        found = read_hyperparameters(self.hyperparameters) if self.hyperparameters else {}
        for pair in self.set:
            key, equals, value = pair.partition("=")
            if not equals or not key:
                raise ConfigError(f"--set {pair}: write NAME=VALUE")
            found[key] = value
        return found


@app.command(name="train")
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
    name = _name(options.name, "train")
    job, _ = _training(account, dataset, options)
    calls = [("create_training_job", requests.training_job(name, job))]
    if dry_run:
        return _checked(account, calls)
    account.send(calls)
    model = f"{job.output}/{name}/output/model.tar.gz"
    paid = f"{name}: {_paid(options)}, model -> {model}"
    _finish(account, "create_training_job", name, wait=wait)
    lines = [paid, f"next: hangtag sagemaker deploy {name} --role ... --instance-type ..."]
    return Result(lines, {"name": name, "model": model})


@app.command(name="tune")
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
        from hangtag.tuning.space_files import OBJECTIVES
    except ImportError as cause:  # Optuna's ranges
        raise MissingExtra("tuning", "train") from cause

    account = Account()
    name = _name(options.name, "tune", longest=32)
    own = options.algorithm == "hangtag"
    found = Space.read(space) if space else None
    goal = objective or (found and found.objective)
    goal = goal or ("validation:macro_map" if own else "validation:accuracy")
    if goal not in (OBJECTIVES if own else ("validation:accuracy",)):
        raise ConfigError(f"--objective {goal}: choose one of {', '.join(OBJECTIVES)}; the "
                          "built-in algorithm measures validation:accuracy only")  # fmt: skip
    job, packed = _training(account, dataset, options)
    ranges = ranges_of(found) if found else default_ranges(packed, job)
    check_ranges(packed, job, ranges)
    request = requests.tuning_job(
        name, job, ranges, objective=goal, trials=trials, parallel=parallel
    )
    calls = [("create_hyper_parameter_tuning_job", request)]
    if dry_run:
        return _checked(account, calls)
    account.send(calls)
    _finish(account, "create_hyper_parameter_tuning_job", name, wait=wait)
    return Result([f"{name}: {trials} jobs, each {_paid(options)}"], {"name": name})


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
    image = _image(account, options.algorithm, options.image, "train")
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


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ServingOptions:
    """The machines and the image of an endpoint or a transform job."""

    role: str
    """ARN of the IAM role that SageMaker assumes."""
    instance_type: str
    """Type of the machines, such as ml.c7i.large; see SageMaker's price list."""
    instances: int = 1
    """Number of machines."""
    algorithm: Algorithm = "hangtag"
    """hangtag's container, or the built-in image classification for a model that it trained."""
    image: str | None = None
    """hangtag's serving image in your registry (Dockerfile, target serve)."""
    name: str | None = None
    """Name of the endpoint or job, after the prefix hangtag-; by default the time."""
    upload: str | None = None
    """s3://BUCKET/PREFIX to upload a local model folder to."""


@app.command(name="deploy")
def deploy(
    model: str, /, options: ServingOptions, *, wait: bool = False,
    dry_run: DryRun = False, output: Output | None = None,
) -> Result:  # fmt: skip
    """Start an endpoint, which costs money until it is deleted.

    Parameters
    ----------
    model
        s3://.../model.tar.gz, a local model folder, or the name of a training or tuning job.
    wait
        Wait until the endpoint is in service.
    """
    from hangtag.sagemaker import requests
    from hangtag.sagemaker.account import Account

    account = Account()
    name = _name(options.name, "endpoint")
    config = requests.endpoint_config(name, name, options.instance_type, options.instances)
    calls = [
        _create_model(account, model, name, options, dry_run=dry_run),
        ("create_endpoint_config", config),
        ("create_endpoint", requests.endpoint(name)),
    ]
    if dry_run:
        return _checked(account, calls)
    account.send(calls)
    _finish(account, "create_endpoint", name, wait=wait)
    lines = [
        f"{name}: {options.instances} x {options.instance_type}, costs money until it is deleted",
        f"next: hangtag sagemaker invoke {name} design.png --tags-file tags.json",
        f"      hangtag sagemaker delete {name}",
    ]
    return Result(lines, {"name": name})


@app.command(name="transform")
def transform(
    model: str, designs: str, out: str, /, options: ServingOptions, *, wait: bool = False,
    dry_run: DryRun = False, output: Output | None = None,
) -> Result:  # fmt: skip
    """Tag all designs below an address on machines that are released at the end.

    Parameters
    ----------
    model
        s3://.../model.tar.gz, a local model folder, or the name of a training or tuning job.
    designs
        s3://BUCKET/PREFIX with PNG and JPEG files.
    out
        s3://BUCKET/PREFIX for the results: NAME.out for each design NAME.
    wait
        Wait until the job has ended.
    """
    from hangtag.sagemaker import inference, requests
    from hangtag.sagemaker.account import Account

    for address in (designs, out):
        if not address.startswith(S3):
            raise ConfigError(f"{address}: a transform job reads from and writes to s3://")
    # With its slash: without it the prefix new would also match new-old/.
    designs = f"{designs.rstrip('/')}/"
    if f"{out.rstrip('/')}/".startswith(designs):
        raise ConfigError(
            f"{out} is inside {designs}: the next job would take the results for designs; name "
            "another address"
        )
    account = Account()
    count = inference.check_designs(designs.rstrip("/"))
    name = _name(options.name, "transform")
    job = requests.transform_job(name, name, designs, out, options.instance_type, options.instances)
    calls = [
        _create_model(account, model, name, options, dry_run=dry_run),
        ("create_transform_job", job),
    ]
    if dry_run:
        return _checked(account, calls)
    account.send(calls)
    _finish(account, "create_transform_job", name, wait=wait)
    machines = f"{options.instances} x {options.instance_type}"
    return Result(
        [f"{name}: {machines}, {count:,} designs, results -> {out}"], {"name": name, "out": out}
    )


def _create_model(
    account: "Account", model: str, name: str, options: ServingOptions, *, dry_run: bool
) -> "Call":
    from hangtag.sagemaker import artifacts, requests

    image = _image(account, options.algorithm, options.image, "serve")
    address = artifacts.model_address(account, model, options.upload, name, dry_run=dry_run)
    return "create_model", requests.model(name, image, options.role, address)


@app.command(name="invoke")
def invoke(
    name: str,
    /,
    *designs: Annotated[Path, Parameter(required=True)],
    tags_file: Path | None = None,
    output: Output | None = None,
) -> Result:
    """Send designs to an endpoint, and print the tags of each as a line of JSON.

    Parameters
    ----------
    name
        The endpoint.
    designs
        PNG or JPEG files.
    tags_file
        tags.json or tags.txt of the dataset; without it, scores have no names.
    """
    from hangtag.library.vocabulary import Vocabulary
    from hangtag.sagemaker import inference
    from hangtag.sagemaker.account import Account

    names = Vocabulary.read(tags_file).names if tags_file else None
    account = Account()
    for path in designs:
        try:
            answer = inference.invoke(account, name, path.read_bytes())
        except ConfigError as cause:
            raise ConfigError(f"{path}: {cause}") from cause
        if names is not None:
            if not isinstance(answer, list) or len(answer) != len(names):
                raise ConfigError(
                    f"{tags_file} has {len(names)} tags, but {name} answers with other scores"
                )
            pairs = sorted(zip(names, answer, strict=True), key=lambda pair: -pair[1])
            answer = {tag: round(score, 4) for tag, score in pairs}
        print(json.dumps({"image": str(path), "scores": answer}, ensure_ascii=False), flush=True)
    return Result([], None, streamed=True)


@app.command(name="status")
def status(name: str | None = None, /, *, output: Output | None = None) -> Result:
    """List what hangtag created on SageMaker, or show one job, model or endpoint.

    Parameters
    ----------
    name
        The job, model or endpoint to show; by default all are listed.
    """
    from hangtag.sagemaker import resources
    from hangtag.sagemaker.account import Account

    account = Account()
    if name is not None:
        found = resources.details(account, name)
        lines = [line for one in found for line in (*(f"{k:15} {v}" for k, v in one.items()), "")]
        return Result(lines, found)
    listed = list(resources.resources(account))
    lines = [f"{one.created}  {one.kind:22} {one.status:11} {one.name}" for one in listed]
    return Result(
        lines or [f"nothing that hangtag created in {account.region}"],
        [vars(one) for one in listed],
    )


@app.command(name="delete")
def delete(
    *names: str, all_: Annotated[bool, Parameter(name="--all")] = False,
    output: Output | None = None,
) -> Result:  # fmt: skip
    """Stop jobs, and delete endpoints with their configuration and model; buckets are not changed.

    Parameters
    ----------
    names
        The jobs, endpoints and models to delete.
    all_
        Everything that hangtag created.
    """
    from hangtag.sagemaker import resources
    from hangtag.sagemaker.account import Account

    if bool(names) == all_:
        raise ConfigError("name jobs, endpoints or models to delete, or give --all")
    account = Account()
    wanted = names or tuple(dict.fromkeys(one.name for one in resources.resources(account)))
    kept, lines = [], []
    for name in wanted:
        try:
            lines += list(resources.delete(account, name))
        except JobError as cause:  # delete the others all the same: they cost, too
            kept.append(str(cause))
    if not wanted:
        lines = [f"nothing that hangtag created in {account.region}"]
    return Result(lines, {"deleted": lines if wanted else [], "kept": kept}, "; ".join(kept))


def _name(name: str | None, purpose: str, longest: int = 63) -> str:
    from hangtag.sagemaker.requests import full_name

    return full_name(name or f"{purpose}-{datetime.now(UTC):%y%m%d-%H%M%S}", longest)


def _image(account: "Account", algorithm: Algorithm, image: str | None, target: str) -> str:
    from hangtag.sagemaker.requests import built_in_image

    if algorithm == "built-in":
        if image is not None:
            raise ConfigError(
                "--image is for hangtag's container; leave it out with --algorithm built-in"
            )
        return built_in_image(account.region)
    if image is None:
        raise ConfigError(
            f"--image is missing: push hangtag's to your registry (docker build --target {target} "
            ".), or use SageMaker's own algorithm with --algorithm built-in"
        )
    return image


def _checked(account: "Account", calls: "Sequence[Call]") -> Result:
    """Validate requests and return them, without sending."""
    account.check(calls)
    found = [{name: request} for name, request in calls]
    return Result([json.dumps(found, indent=2)], found)


def _finish(account: "Account", operation: str, name: str, *, wait: bool) -> None:
    from hangtag.sagemaker import resources

    if wait:
        resources.wait(account, operation, name)


def _paid(options: JobOptions) -> str:
    return f"{options.instances} x {options.instance_type} for at most {options.max_hours:g} h"
