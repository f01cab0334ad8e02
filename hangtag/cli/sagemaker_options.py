"""What the commands of `hangtag sagemaker` share: options, names, images, and how they are sent."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from hangtag.cli.options import OUTPUT, Hours, Result
from hangtag.errors import ConfigError

if TYPE_CHECKING:
    from hangtag.sagemaker.account import Account, Call

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


def name_of(name: str | None, purpose: str, longest: int = 63) -> str:
    from hangtag.sagemaker.requests import full_name

    return full_name(name or f"{purpose}-{datetime.now(UTC):%y%m%d-%H%M%S}", longest)


def image_of(account: "Account", algorithm: Algorithm, image: str | None, target: str) -> str:
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


def carry_out(
    account: "Account", calls: "Sequence[Call]", name: str, done: Result, *,
    wait: bool, dry_run: bool,
) -> Result:  # fmt: skip
    """Send requests, of which the last one creates what is called `name`, and return `done`.

    With `wait`, not before it is ready or has ended. With `dry_run` the requests are validated and
    returned, and nothing is sent.
    """
    from hangtag.sagemaker import resources

    if dry_run:
        account.check(calls)
        found = [{operation: request} for operation, request in calls]
        return Result([json.dumps(found, indent=2)], found)
    account.send(calls)
    if wait:
        operation, _ = calls[-1]
        resources.wait(account, operation, name)
    return done
