"""Training, tuning, endpoints and batch transform on SageMaker, by boto3 calls alone.

What is sent is built in `requests`; this module looks at the dataset before money is spent, makes
the calls, and finds, watches and removes what hangtag made: everything whose name begins hangtag-.
"""

import json
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from hangtag.console import note
from hangtag.dataset.dataset_folder import (
    DESIGNS_FILE,
    INFO_FILE,
    RECORD_FILES,
    TAGS_FILES,
    DatasetInfo,
)
from hangtag.errors import ConfigError, DatasetError, JobError, MissingExtra, ModelError
from hangtag.library.image_files import IMAGE_SUFFIXES
from hangtag.library.vocabulary import Vocabulary
from hangtag.sagemaker.hyperparameters import config_of, from_hyperparameters
from hangtag.sagemaker.requests import PREFIX, Request, full_name, prefixed
from hangtag.service.config import ServeConfig
from hangtag.storage import s3
from hangtag.storage.addresses import S3
from hangtag.tagging.model_folder import ModelFolder

MAX_BODY: Final = 6 * 2**20  # bytes that InvokeEndpoint takes
_POLL_SECONDS: Final = 15.0
_ENDED: Final = {
    "Completed", "Failed", "Stopped", "InService", "OutOfService", "UpdateRollbackFailed",
    "DeleteFailed",
}  # fmt: skip
_WELL: Final = {"Completed", "InService"}
# Jobs have a code of their own for what is not there; endpoints and models say it in words.
_ABSENT_CODE: Final = "ResourceNotFound"
_ABSENT: Final = ("could not find", "can't find", "not found", "does not exist")
_LONGEST: Final = {"hyper_parameter_tuning_job": 32}  # letters of a name; elsewhere 63
_BUSY: Final = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")
MAX_TRANSFORMED: Final = int(ServeConfig.max_body_mb * 1e6)  # bytes; more the server refuses
Call = tuple[str, Request]
"""An operation's name in boto3, such as create_training_job, and its request."""


@dataclass(frozen=True)
class _Kind:
    """A kind of thing that SageMaker keeps."""

    title: str
    noun: str  # in the names of the operations
    summaries: str
    name: str
    status: str | None = None


# In the order in which one name's things are removed.
_KINDS: Final = (
    _Kind("endpoint", "endpoint", "Endpoints", "EndpointName", "EndpointStatus"),
    _Kind("endpoint configuration", "endpoint_config", "EndpointConfigs", "EndpointConfigName"),
    _Kind("model", "model", "Models", "ModelName"),
    _Kind(
        "transform job", "transform_job", "TransformJobSummaries", "TransformJobName",
        "TransformJobStatus",
    ),
    _Kind(
        "tuning job", "hyper_parameter_tuning_job", "HyperParameterTuningJobSummaries",
        "HyperParameterTuningJobName", "HyperParameterTuningJobStatus",
    ),
    _Kind(
        "training job", "training_job", "TrainingJobSummaries", "TrainingJobName",
        "TrainingJobStatus",
    ),
)  # fmt: skip


# Seconds that an answer may take, and attempts: a dead endpoint is reported within a minute. A
# model itself may take nearly one.
_PATIENCE: Final = {"sagemaker": (15, 3), "sagemaker-runtime": (55, 1)}


class Account:
    """SageMaker as the usual chain of credentials reaches it."""

    def __init__(self) -> None:
        try:
            import boto3
        except ImportError as cause:
            raise MissingExtra("SageMaker", "aws") from cause
        import botocore.exceptions

        try:
            self._session = boto3.session.Session()
        except botocore.exceptions.BotoCoreError as cause:  # a profile that does not exist
            raise ConfigError(" ".join(str(cause).split())) from cause

    @property
    def region(self) -> str:
        """The region that calls go to. Raises ConfigError where none is set."""
        region: str | None = self._session.region_name
        if region is None:
            raise ConfigError("no AWS region: set AWS_DEFAULT_REGION, or run `aws configure`")
        return region

    @cached_property
    def _sagemaker(self) -> Any:
        return self._client("sagemaker")

    @cached_property
    def _runtime(self) -> Any:
        return self._client("sagemaker-runtime")

    def _client(self, service: str) -> Any:
        import botocore.config
        import botocore.exceptions

        seconds, attempts = _PATIENCE[service]
        config = botocore.config.Config(
            connect_timeout=4,
            read_timeout=seconds,
            retries={"mode": "standard", "total_max_attempts": attempts},
        )
        try:
            return self._session.client(service, region_name=self.region, config=config)
        except (botocore.exceptions.BotoCoreError, ValueError) as cause:  # region or endpoint
            raise ConfigError(" ".join(str(cause).split())) from cause

    def offers(self, operation: str) -> bool:
        """Whether the installed boto3 knows an operation: some are younger than it may be."""
        return hasattr(self._sagemaker, operation)

    def call(self, operation: str, request: Request) -> Any:
        """Return SageMaker's answer. Raises JobError; LookupError for what is not there."""
        client = self._runtime if operation == "invoke_endpoint" else self._sagemaker
        import botocore.exceptions

        try:
            return getattr(client, operation)(**request)
        except botocore.exceptions.ClientError as cause:
            said = str(cause.response["Error"].get("Message") or cause)
            code = cause.response["Error"].get("Code")
            if code == _ABSENT_CODE or any(words in said.lower() for words in _ABSENT):
                raise LookupError(said) from cause
            raise JobError(f"SageMaker refused {operation}: {said}") from cause
        except botocore.exceptions.BotoCoreError as cause:
            raise JobError(f"{operation}: {' '.join(str(cause).split())}") from cause

    def check(self, calls: Sequence[Call]) -> None:
        """Compare requests with the service's own description, unsent. Raises ConfigError."""
        from botocore.validate import ParamValidator

        for operation, request in calls:
            name = self._sagemaker.meta.method_to_api_mapping[operation]
            shape = self._sagemaker.meta.service_model.operation_model(name).input_shape
            report = ParamValidator().validate(request, shape)
            if report.has_errors():
                raise ConfigError(f"{name}: {' '.join(report.generate_report().split())}")

    def send(self, calls: Sequence[Call]) -> None:
        """Make calls that stand on each other. Raises JobError that says what was made already."""
        self.check(calls)
        for number, (operation, request) in enumerate(calls):
            try:
                self.call(operation, request)
            except (JobError, LookupError) as cause:
                made = ", ".join(name for name, _ in calls[:number])
                left = f"; done before it: {made}" if made else ""
                raise JobError(f"{cause}{left}") from cause


@dataclass(frozen=True)
class PackedDataset:
    """What is known of a dataset in a bucket without reading its records."""

    address: str
    info: DatasetInfo | None
    tags: int | None
    extra_files: tuple[str, ...]

    @classmethod
    def at(cls, address: str) -> "PackedDataset":
        """Look at `s3://BUCKET/PREFIX`. Raises ConfigError, DatasetError, StorageError, OSError."""
        if not address.startswith(S3):
            raise ConfigError(
                f"{address}: a job reads its dataset from a bucket; write it there with "
                f"`hangtag pack CATALOG s3://BUCKET/PREFIX`, or copy the folder, and name that"
            )
        address = address.rstrip("/")
        next(s3.listed(address), None)  # finds out whether the bucket is there
        for split in ("train", "validation"):
            if s3.head(f"{address}/{RECORD_FILES[split].as_posix()}") is None:
                raise DatasetError(
                    f"{address} holds no {RECORD_FILES[split].as_posix()}; "
                    f"`hangtag pack CATALOG {address}` makes it"
                )
        tags_file = next((n for n in TAGS_FILES if s3.head(f"{address}/{n}")), None)
        info_file = INFO_FILE if s3.head(f"{address}/{INFO_FILE}") else None
        files = tuple(name for name in (tags_file, info_file) if name)
        # With it a job knows what people reviewed, which records of 0 and 1 do not say.
        designs_file = (DESIGNS_FILE,) if s3.head(f"{address}/{DESIGNS_FILE}") else ()
        with tempfile.TemporaryDirectory() as folder:
            for name in files:
                (Path(folder) / name).write_bytes(s3.read(f"{address}/{name}"))
            info = DatasetInfo.read(Path(folder))
            tags = len(Vocabulary.read(Path(folder) / tags_file)) if tags_file else None
        return cls(address, info, tags, files + designs_file)

    @property
    def designs(self) -> int | None:
        """How many designs train, where dataset.json says it."""
        return self.info.designs.get("train") if self.info else None


def built_in_settings(dataset: PackedDataset, given: Mapping[str, str]) -> dict[str, str]:
    """Return the built-in algorithm's hyperparameters, with what it must know counted.

    Raises ConfigError for unknown names, values out of range, counts that are wrong or cannot be
    known, and for designs that still have their transparency, which it would drop.
    """
    if dataset.info is not None and dataset.info.flatten == "none":
        raise ConfigError(
            f"{dataset.address} keeps transparency, which the built-in algorithm drops: whatever "
            "colour lies under it would show; pack another one with `--flatten white`"
        )
    found = dict(given)
    for name, counted in (
        ("num_classes", dataset.tags),
        ("num_training_samples", dataset.designs),
    ):
        if counted is None and name not in found:
            raise ConfigError(
                f"{dataset.address} does not say {name}: give it with --set {name}=NUMBER"
            )
        if counted is not None and found.setdefault(name, str(counted)) != str(counted):
            raise ConfigError(
                f"{name} = {found[name]}, but {dataset.address} has {counted}: leave it out"
            )
    found.setdefault("multi_label", "1")
    config, _ = from_hyperparameters(found, tags=dataset.tags or 1, designs=dataset.designs or 1)
    designs = int(found["num_training_samples"])
    if config.batch_size is not None and config.batch_size > designs:
        raise ConfigError(f"mini_batch_size = {config.batch_size}, but {designs} designs train")
    return found


def own_settings(
    dataset: PackedDataset, given: Mapping[str, str], instances: int = 1
) -> dict[str, str]:
    """Return the hyperparameters of hangtag's container, checked here before a machine is paid.

    Raises ConfigError.
    """
    config, notes = config_of(given, tags=dataset.tags or 1, designs=dataset.designs or 1)
    if config.freeze and instances > 1:
        raise ConfigError("freeze: a tag head alone trains on one machine, give --instances 1")
    for line in notes:
        note(line)
    return dict(given)


# Models


def upload_model(folder: Path, address: str, *, dry_run: bool) -> str:
    """Write a model folder to `ADDRESS/model.tar.gz`, as SageMaker unpacks it; return that.

    `dry_run`: only look at the folder. Checkpoints and reports stay. Raises ModelError,
    StorageError, OSError.
    """
    model = ModelFolder.open(folder)
    files = sorted(
        path
        for path in model.path.iterdir()
        if path.is_file() and not path.name.startswith(".") and path.suffix != ".html"
    )
    target = f"{address}/model.tar.gz"
    if dry_run:
        return target
    with tempfile.TemporaryDirectory() as temporary:
        archive = Path(temporary) / "model.tar.gz"
        with tarfile.open(archive, "w:gz", compresslevel=1) as tar:  # weights hardly shrink
            for path in files:
                tar.add(path, path.name)
        s3.upload(archive, target)
    return target


def artifact_of(account: Account, model: str) -> str:
    """Return the address of the model.tar.gz that a training or tuning job left.

    Raises JobError for a job that is not there, or has not ended well.
    """
    kinds = {kind.noun: kind for kind in _KINDS}
    for name in dict.fromkeys((model, prefixed(model))):
        tuned = _described(account, kinds["hyper_parameter_tuning_job"], name)
        if tuned is not None and "BestTrainingJob" not in tuned:
            raise JobError(f"tuning job {name} has no best training job yet")
        best = tuned["BestTrainingJob"]["TrainingJobName"] if tuned else name
        trained = _described(account, kinds["training_job"], best)
        if trained is None:
            continue
        status = trained["TrainingJobStatus"]
        artifact: str = trained.get("ModelArtifacts", {}).get("S3ModelArtifacts", "")
        # One that its time limit stopped may have left a model all the same.
        if status == "Completed" or (status == "Stopped" and artifact and s3.head(artifact)):
            return artifact
        raise JobError(f"training job {best} is {status} and has left no model")
    raise JobError(f"{model}: no model.tar.gz in a bucket, and no training or tuning job")


# What is there


@dataclass(frozen=True)
class Thing:
    """Something that hangtag made on SageMaker."""

    kind: str
    name: str
    status: str
    created: str


def things(account: Account) -> Iterator[Thing]:
    """Yield what hangtag made, newest first within a kind. Raises JobError."""
    for kind in _KINDS:
        asked: Request = {
            "NameContains": PREFIX,
            "SortBy": "CreationTime",
            "SortOrder": "Descending",
        }
        while True:
            page = account.call(f"list_{kind.noun}s", asked)
            for found in page.get(kind.summaries, ()):
                if found[kind.name].startswith(PREFIX):
                    status = found[kind.status] if kind.status else ""
                    created = f"{found['CreationTime']:%Y-%m-%d %H:%M}"
                    yield Thing(kind.title, found[kind.name], status, created)
            if not page.get("NextToken"):
                break
            asked = asked | {"NextToken": page["NextToken"]}


def _described(account: Account, kind: _Kind, name: str) -> Any:
    """Return SageMaker's description, or None where there is no such thing. Raises JobError."""
    if len(name) > _LONGEST.get(kind.noun, 63):  # a question that would be refused
        return None
    try:
        return account.call(f"describe_{kind.noun}", {kind.name: name})
    except LookupError:
        return None


def _all_described(account: Account, name: str) -> list[tuple[_Kind, Any]]:
    """Return each kind of thing that bears a name, and its description.

    Raises JobError; ConfigError for a name that nothing can have.
    """
    full = full_name(name)
    found = [(kind, _described(account, kind, full)) for kind in _KINDS]
    return [(kind, about) for kind, about in found if about is not None]


def details(account: Account, name: str) -> list[dict[str, Any]]:
    """Return what is worth knowing of all that bears a name. Raises JobError for nothing."""
    found = []
    for kind, about in _all_described(account, name):
        row: dict[str, Any] = {"kind": kind.title, "name": about[kind.name]}
        if kind.status:
            row["status"] = about[kind.status]
        for key, place in (
            ("step", "SecondaryStatus"),
            ("why", "FailureReason"),
            ("billed_seconds", "BillableTimeInSeconds"),
        ):
            if about.get(place):
                row[key] = about[place]
        if about.get("ModelArtifacts"):
            row["model"] = about["ModelArtifacts"]["S3ModelArtifacts"]
        for metric in about.get("FinalMetricDataList", ()):
            row[metric["MetricName"]] = metric["Value"]
        if "BestTrainingJob" in about:
            best = about["BestTrainingJob"]
            row["best"] = best["TrainingJobName"]
            row["best_settings"] = best.get("TunedHyperParameters", {})
        found.append(row)
    if not found:
        raise JobError(f"{prefixed(name)}: nothing of that name on SageMaker")
    return found


def wait(account: Account, operation: str, name: str) -> None:
    """Return when a job or endpoint has come to its end. Raises JobError where that is no good one.

    `operation`: the call that made it. Ctrl-C ends the waiting, not the job.
    """
    noun = operation.removeprefix("create_")
    kind = next(kind for kind in _KINDS if kind.noun == noun)
    assert kind.status is not None
    said = ""
    while True:
        about = _described(account, kind, name)
        if about is None:
            raise JobError(f"{kind.title} {name} is no longer there: somebody removed it")
        status = about[kind.status]
        now = f"{status} {about.get('SecondaryStatus', '')}".strip()
        if now != said:
            note(f"{kind.title} {name}: {now}")
            said = now
        if status in _ENDED:
            break
        time.sleep(_POLL_SECONDS)
    if status not in _WELL:
        why = about.get("FailureReason", "SageMaker gives no reason")
        raise JobError(f"{kind.title} {name} is {status}: {why}")


def delete(account: Account, name: str) -> list[str]:
    """Stop and remove all that bears a name; return what was done. Raises JobError for nothing.

    What lies in a bucket stays.
    """
    done = []
    found = _all_described(account, name)
    for kind, about in found:  # before anything is removed
        if kind.noun == "endpoint" and about["EndpointStatus"] in _BUSY:
            raise JobError(
                f"endpoint {about[kind.name]} is {about['EndpointStatus']}, and cannot be removed "
                "meanwhile; delete it again in some minutes"
            )
    for kind, about in found:
        key = {kind.name: about[kind.name]}
        if kind.noun.endswith("_job"):
            status = about[kind.status or ""]
            if status in ("InProgress", "Stopping"):
                if status == "InProgress":
                    account.call(f"stop_{kind.noun}", key)
                done.append(f"{kind.title} {about[kind.name]} is being stopped")
                continue
            if not account.offers(f"delete_{kind.noun}"):  # SageMaker keeps the record
                done.append(f"{kind.title} {about[kind.name]} has ended and costs nothing")
                continue
        with suppress(LookupError):  # somebody else was quicker
            account.call(f"delete_{kind.noun}", key)
        done.append(f"{kind.title} {about[kind.name]} is removed")
    if not done:
        raise JobError(f"{prefixed(name)}: nothing of that name on SageMaker")
    return done


def invoke(account: Account, name: str, design: bytes) -> Any:
    """Return an endpoint's answer for one design's file: probabilities in the order of the tags.

    Raises JobError, and ConfigError for a file that is too large to be sent.
    """
    if len(design) > MAX_BODY:
        raise ConfigError(
            f"{len(design) / 2**20:.1f} MiB; an endpoint takes {MAX_BODY // 2**20}: make the "
            "design smaller, it is looked at in a few hundred pixels anyway"
        )
    request = {
        "EndpointName": prefixed(name),
        "Body": design,
        "ContentType": "application/x-image",
        "Accept": "application/json",
    }
    try:
        answer = account.call("invoke_endpoint", request)
    except LookupError as cause:
        raise JobError(f"{prefixed(name)}: {cause}") from cause
    body = answer["Body"].read()
    try:
        return json.loads(body)
    except ValueError as cause:
        said = f"{prefixed(name)} answered something else than JSON: {body[:200]!r}"
        raise JobError(said) from cause


def model_address(
    account: Account, model: str, upload: str | None, name: str, *, dry_run: bool
) -> str:
    """Return where the model.tar.gz of MODEL lies, written there first if it is a local folder.

    MODEL: `s3://…/model.tar.gz`, a model folder, or the name of a training or tuning job. Raises
    ModelError, ConfigError, JobError, StorageError, OSError.
    """
    if model.startswith(S3):
        if not model.endswith(".tar.gz"):
            raise ModelError(f"{model}: name the model.tar.gz, or a local model folder")
        if s3.head(model) is None:
            raise ModelError(f"{model}: no such object")
        return model
    if Path(model).is_dir():
        if upload is None or not upload.startswith(S3):
            raise ConfigError(
                f"{model} is a local folder: say with --upload s3://BUCKET/PREFIX where SageMaker "
                "shall find it"
            )
        return upload_model(Path(model), f"{upload.rstrip('/')}/{name}", dry_run=dry_run)
    return artifact_of(account, model)


def check_designs(address: str) -> int:
    """Return how many designs a transform job would read below an address.

    One file that its server refuses fails such a job. Raises ConfigError for what is no design or
    too large, StorageError, OSError.
    """
    count, wrong = 0, []
    for found in s3.listed(address):
        count += 1
        if Path(found.key).suffix.lower() not in IMAGE_SUFFIXES or found.size > MAX_TRANSFORMED:
            wrong.append(found.key)
    if wrong:
        raise ConfigError(
            f"{address}: {len(wrong)} of {count} files are no designs, or over "
            f"{MAX_TRANSFORMED / 1e6:g} MB, and would fail the job, such as {wrong[0]}; keep "
            "them elsewhere"
        )
    if not count:
        raise ConfigError(f"{address} holds no designs")
    return count
