"""What hangtag made on SageMaker, found by its names, which all begin with hangtag-."""

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from hangtag.console import note
from hangtag.errors import JobError
from hangtag.sagemaker.account import Account
from hangtag.sagemaker.requests import PREFIX, Request, full_name, prefixed

_POLL_SECONDS: Final = 15.0
_ENDED: Final = {
    "Completed", "Failed", "Stopped", "InService", "OutOfService", "UpdateRollbackFailed",
    "DeleteFailed",
}  # fmt: skip
_SUCCEEDED: Final = {"Completed", "InService"}
_BUSY: Final = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")
_LONGEST: Final = {"hyper_parameter_tuning_job": 32}  # characters of a name; elsewhere 63


@dataclass(frozen=True)
class Kind:
    """A kind of resource on SageMaker, and its names in the API."""

    title: str
    noun: str
    """In the names of the operations."""

    summaries: str
    """The field of a list response that holds its summaries."""

    name: str
    """The field that holds its name."""

    status: str | None = None
    """The field that holds its status, if it has one."""


# In the order in which resources of one name are removed.
KINDS: Final = (
    Kind("endpoint", "endpoint", "Endpoints", "EndpointName", "EndpointStatus"),
    Kind("endpoint configuration", "endpoint_config", "EndpointConfigs", "EndpointConfigName"),
    Kind("model", "model", "Models", "ModelName"),
    Kind(
        "transform job", "transform_job", "TransformJobSummaries", "TransformJobName",
        "TransformJobStatus",
    ),
    Kind(
        "tuning job", "hyper_parameter_tuning_job", "HyperParameterTuningJobSummaries",
        "HyperParameterTuningJobName", "HyperParameterTuningJobStatus",
    ),
    Kind(
        "training job", "training_job", "TrainingJobSummaries", "TrainingJobName",
        "TrainingJobStatus",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Resource:
    """A job, model or endpoint that hangtag made."""

    kind: str
    name: str
    status: str
    created: str


def resources(account: Account) -> Iterator[Resource]:
    """Yield everything that hangtag made, newest first within a kind. Raises JobError."""
    for kind in KINDS:
        request: Request = {
            "NameContains": PREFIX,
            "SortBy": "CreationTime",
            "SortOrder": "Descending",
        }
        while True:
            page = account.call(f"list_{kind.noun}s", request)
            for found in page.get(kind.summaries, ()):
                if found[kind.name].startswith(PREFIX):
                    status = found[kind.status] if kind.status else ""
                    created = f"{found['CreationTime']:%Y-%m-%d %H:%M}"
                    yield Resource(kind.title, found[kind.name], status, created)
            if not page.get("NextToken"):
                break
            request = request | {"NextToken": page["NextToken"]}


def described(account: Account, kind: Kind, name: str) -> Any:
    """Return SageMaker's description, or None for what does not exist. Raises JobError."""
    if len(name) > _LONGEST.get(kind.noun, 63):  # SageMaker would refuse the request
        return None
    try:
        return account.call(f"describe_{kind.noun}", {kind.name: name})
    except LookupError:
        return None


def _all_described(account: Account, name: str) -> list[tuple[Kind, Any]]:
    """Return the kind and the description of every resource of a name.

    Raises JobError; ConfigError for an invalid name.
    """
    full = full_name(name)
    found = [(kind, described(account, kind, full)) for kind in KINDS]
    return [(kind, about) for kind, about in found if about is not None]


def details(account: Account, name: str) -> list[dict[str, Any]]:
    """Return status and results of the resources of a name. Raises JobError if there are none."""
    found = [_details(kind, about) for kind, about in _all_described(account, name)]
    if not found:
        raise _absent(name)
    return found


def _details(kind: Kind, about: Any) -> dict[str, Any]:
    shown: dict[str, Any] = {"kind": kind.title, "name": about[kind.name]}
    if kind.status:
        shown["status"] = about[kind.status]
    for key, field in (
        ("step", "SecondaryStatus"),
        ("why", "FailureReason"),
        ("billed_seconds", "BillableTimeInSeconds"),
    ):
        if about.get(field):
            shown[key] = about[field]
    if about.get("ModelArtifacts"):
        shown["model"] = about["ModelArtifacts"]["S3ModelArtifacts"]
    for metric in about.get("FinalMetricDataList", ()):
        shown[metric["MetricName"]] = metric["Value"]
    if "BestTrainingJob" in about:
        best = about["BestTrainingJob"]
        shown["best"] = best["TrainingJobName"]
        shown["best_settings"] = best.get("TunedHyperParameters", {})
    return shown


def _absent(name: str) -> JobError:
    return JobError(f"{prefixed(name)}: no such job, model or endpoint on SageMaker")


def wait(account: Account, operation: str, name: str) -> None:
    """Wait until a job has ended or an endpoint is in service. Raises JobError if it failed.

    `operation`: the call that made it. Ctrl-C ends the waiting, not the job.
    """
    noun = operation.removeprefix("create_")
    kind = next(kind for kind in KINDS if kind.noun == noun)
    assert kind.status is not None
    last = ""
    while True:
        about = described(account, kind, name)
        if about is None:
            raise JobError(f"{kind.title} {name} no longer exists: somebody removed it")
        status = about[kind.status]
        state = f"{status} {about.get('SecondaryStatus', '')}".strip()
        if state != last:
            note(f"{kind.title} {name}: {state}")
            last = state
        if status in _ENDED:
            break
        time.sleep(_POLL_SECONDS)
    if status not in _SUCCEEDED:
        why = about.get("FailureReason", "SageMaker gives no reason")
        raise JobError(f"{kind.title} {name} is {status}: {why}")


def delete(account: Account, name: str) -> list[str]:
    """Stop and remove the resources of a name; return a line for each.

    What a bucket holds stays. Raises JobError where there are none, or an endpoint is changing.
    """
    found = _all_described(account, name)
    for kind, about in found:  # before anything is removed
        if kind.noun == "endpoint" and about["EndpointStatus"] in _BUSY:
            raise JobError(
                f"endpoint {about[kind.name]} is {about['EndpointStatus']}, and cannot be removed "
                "meanwhile; delete it again in some minutes"
            )
    if not found:
        raise _absent(name)
    return [_deleted(account, kind, about) for kind, about in found]


def _deleted(account: Account, kind: Kind, about: Any) -> str:
    """Stop or remove one resource; return a line that reports it."""
    title, key = f"{kind.title} {about[kind.name]}", {kind.name: about[kind.name]}
    if kind.noun.endswith("_job"):
        status = about[kind.status or ""]
        if status == "InProgress":
            account.call(f"stop_{kind.noun}", key)
        if status in ("InProgress", "Stopping"):
            return f"{title} is being stopped"
        if not account.offers(f"delete_{kind.noun}"):  # SageMaker keeps the record
            return f"{title} has ended and costs nothing"
    with suppress(LookupError):  # somebody else removed it first
        account.call(f"delete_{kind.noun}", key)
    return f"{title} is removed"
