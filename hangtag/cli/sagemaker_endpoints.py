"""`hangtag sagemaker deploy`, `transform` and `invoke`: a model at work on SageMaker."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from hangtag.cli.options import Output, Result
from hangtag.cli.sagemaker_options import (
    DryRun,
    ServingOptions,
    carry_out,
    image_of,
    name_of,
)
from hangtag.errors import ConfigError
from hangtag.storage.addresses import S3

if TYPE_CHECKING:
    from hangtag.sagemaker.account import Account, Call


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
    name = name_of(options.name, "endpoint")
    config = requests.endpoint_config(name, name, options.instance_type, options.instances)
    calls = [
        _create_model(account, model, name, options, dry_run=dry_run),
        ("create_endpoint_config", config),
        ("create_endpoint", requests.endpoint(name)),
    ]
    lines = [
        f"{name}: {options.instances} x {options.instance_type}, costs money until it is deleted",
        f"next: hangtag sagemaker invoke {name} design.png --tags-file tags.json",
        f"      hangtag sagemaker delete {name}",
    ]
    done = Result(lines, {"name": name})
    return carry_out(account, calls, name, done, wait=wait, dry_run=dry_run)


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
    name = name_of(options.name, "transform")
    job = requests.transform_job(name, name, designs, out, options.instance_type, options.instances)
    calls = [
        _create_model(account, model, name, options, dry_run=dry_run),
        ("create_transform_job", job),
    ]
    machines = f"{options.instances} x {options.instance_type}"
    lines = [f"{name}: {machines}, {count:,} designs, results -> {out}"]
    done = Result(lines, {"name": name, "out": out})
    return carry_out(account, calls, name, done, wait=wait, dry_run=dry_run)


def _create_model(
    account: "Account", model: str, name: str, options: ServingOptions, *, dry_run: bool
) -> "Call":
    from hangtag.sagemaker import artifacts, requests

    image = image_of(account, options.algorithm, options.image, "serve")
    address = artifacts.model_address(account, model, options.upload, name, dry_run=dry_run)
    return "create_model", requests.model(name, image, options.role, address)


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
