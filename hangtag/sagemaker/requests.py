"""Requests to SageMaker as boto3 takes them, built without a call.

Source: the SageMaker API reference; the built-in algorithm's requests are those that the SageMaker
SDK makes in its notebooks (tests/sagemaker/sdk_requests.json).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from hangtag.errors import ConfigError

Request = dict[str, Any]
PREFIX: Final = "hangtag-"  # of every name, by which hangtag finds its own resources
_TAG: Final = "hangtag"  # on every resource, for cost reports
VARIANT: Final = "AllTraffic"
# SageMaker SDK 2, image_uri_config/image-classification.json
_ACCOUNTS: Final = {
    "ap-east-1": "286214385809", "ap-northeast-1": "501404015308", "ap-northeast-2": "306986355934",
    "ap-south-1": "991648021394", "ap-southeast-1": "475088953585",
    "ap-southeast-2": "544295431143", "ca-central-1": "469771592824", "cn-north-1": "390948362332",
    "cn-northwest-1": "387376663083", "eu-central-1": "813361260812", "eu-north-1": "669576153137",
    "eu-west-1": "685385470294", "eu-west-2": "644912444149", "eu-west-3": "749696950732",
    "me-south-1": "249704162688", "sa-east-1": "855470959533", "us-east-1": "811284229777",
    "us-east-2": "825641698319", "us-gov-west-1": "226302683700", "us-west-1": "632365934929",
    "us-west-2": "433757028032",
}  # fmt: skip
_NAME: Final = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?")
_RECORDS: Final = "application/x-recordio"
_METRICS: Final = ("macro_map", "micro_map", "accuracy")
Scaling = Literal["Auto", "Linear", "Logarithmic"]


def built_in_image(region: str) -> str:
    """Return the image of SageMaker's image classification in a region. Raises ConfigError."""
    if region not in _ACCOUNTS:
        raise ConfigError(
            f"the built-in image classification is not offered in {region}; it is in "
            f"{', '.join(sorted(_ACCOUNTS))}"
        )
    domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"{_ACCOUNTS[region]}.dkr.ecr.{region}.{domain}/image-classification:1"


def prefixed(name: str) -> str:
    """Return a name with the prefix hangtag-, added if it is missing."""
    return name if name.startswith(PREFIX) else PREFIX + name


def full_name(name: str, longest: int = 63) -> str:
    """Return a name with the prefix hangtag-. Raises ConfigError for one SageMaker would refuse.

    `longest`: training jobs, models and endpoints may have 63 characters, tuning jobs 32.
    """
    found = prefixed(name)
    if not _NAME.fullmatch(found) or len(found) > longest:
        raise ConfigError(
            f"{found} cannot be a name: letters, digits and hyphens, at most {longest} of them"
        )
    return found


@dataclass(frozen=True, kw_only=True)
class Machines:
    """What a job runs on, and for how long at most."""

    instance_type: str
    max_hours: float
    count: int = 1
    volume_gib: int = 50
    spot: bool = False
    max_wait_hours: float | None = None

    def __post_init__(self) -> None:
        hours = (self.max_hours, self.max_wait_hours or 1.0)
        if not all(0 < one < 10_000 for one in hours) or self.count < 1 or self.volume_gib < 1:
            raise ConfigError("hours, instances and volume must be above 0, and hours a number")
        if self.max_wait_hours is not None and not self.spot:
            raise ConfigError("max_wait_hours is for --spot: how long the job may take in all")
        if self.spot and (self.max_wait_hours or self.max_hours) < self.max_hours:
            raise ConfigError("max_wait_hours must be at least max_hours")

    def resources(self) -> Request:
        """Return the ResourceConfig."""
        return {
            "InstanceType": self.instance_type,
            "InstanceCount": self.count,
            "VolumeSizeInGB": self.volume_gib,
        }

    def stopping(self) -> Request:
        """Return the StoppingCondition."""
        found = {"MaxRuntimeInSeconds": round(self.max_hours * 3600)}
        if self.spot:
            found["MaxWaitTimeInSeconds"] = round((self.max_wait_hours or self.max_hours) * 3600)
        return found


@dataclass(frozen=True, kw_only=True)
class Training:
    """A training job, or what a tuning job's training jobs have in common."""

    image: str
    role: str
    dataset: str
    """`s3://BUCKET/PREFIX`, in the SageMaker layout, without a slash at its end."""
    output: str
    machines: Machines
    hyperparameters: Mapping[str, str]
    extra_files: Sequence[str] = ()
    """Files of the dataset besides the records that hangtag's container reads: tags.json, ..."""
    model: str | None = None
    """Channel `model`: the model.tar.gz to continue from."""
    own: bool = True
    """Whether it runs hangtag's container or the built-in algorithm."""
    resumed: str | None = None
    """Name of the earlier job whose checkpoints this one resumes from."""


def training_job(name: str, job: Training) -> Request:
    """Return CreateTrainingJob's request."""
    request = {
        "TrainingJobName": name,
        **_common(job),
        "HyperParameters": dict(job.hyperparameters),
        "ResourceConfig": job.machines.resources(),
        "Tags": _tags("train"),
    }
    if job.own:
        # A job on spot capacity resumes from here.
        request["CheckpointConfig"] = {"S3Uri": f"{job.output}/{job.resumed or name}/checkpoints"}
    return request


def _common(job: Training) -> Request:
    algorithm: Request = {"TrainingImage": job.image, "TrainingInputMode": "File"}
    if job.own:
        algorithm["MetricDefinitions"] = [
            {"Name": f"validation:{name}", "Regex": rf"\bvalidation_{name}=([0-9.e+-]+) "}
            for name in _METRICS
        ] + [{"Name": "train:loss", "Regex": r"\btrain_loss=([0-9.e+-]+) "}]
    channels = [
        _channel("train", f"{job.dataset}/training/", _RECORDS),
        _channel("validation", f"{job.dataset}/validation/", _RECORDS),
    ]
    channels += [
        _channel(file.partition(".")[0], f"{job.dataset}/{file}", None) for file in job.extra_files
    ]
    if job.model is not None:
        channels.append(_channel("model", job.model, "application/x-sagemaker-model"))
    request: Request = {
        "AlgorithmSpecification": algorithm,
        "RoleArn": job.role,
        "InputDataConfig": channels,
        "OutputDataConfig": {"S3OutputPath": job.output},
        "StoppingCondition": job.machines.stopping(),
    }
    if job.machines.spot:
        request["EnableManagedSpotTraining"] = True
    return request


def _channel(name: str, address: str, content_type: str | None) -> Request:
    source = {
        "S3DataType": "S3Prefix",
        "S3Uri": address,
        "S3DataDistributionType": "FullyReplicated",
    }
    found: Request = {"ChannelName": name, "DataSource": {"S3DataSource": source}}
    return found | ({"ContentType": content_type} if content_type else {})


def _tags(purpose: str) -> list[dict[str, str]]:
    return [{"Key": _TAG, "Value": purpose}]


@dataclass(frozen=True)
class Range:
    """One hyperparameter of a tuning job: limits, or values to choose from."""

    name: str
    low: float | int = 0
    high: float | int = 0
    scaling: Scaling = "Auto"
    values: tuple[str, ...] = field(default=())


def tuning_job(
    name: str, job: Training, ranges: Sequence[Range], *, objective: str, trials: int, parallel: int
) -> Request:
    """Return CreateHyperParameterTuningJob's request.

    Tuned hyperparameters are removed from the job's fixed ones.
    """
    tuned = {one.name for one in ranges}
    return {
        "HyperParameterTuningJobName": name,
        "HyperParameterTuningJobConfig": {
            "Strategy": "Bayesian",
            "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": objective},
            "ResourceLimits": {
                "MaxNumberOfTrainingJobs": trials,
                "MaxParallelTrainingJobs": parallel,
            },
            "ParameterRanges": _limits(ranges),
            "TrainingJobEarlyStoppingType": "Off",
        },
        "TrainingJobDefinition": {
            **_common(job),
            "StaticHyperParameters": {
                key: value for key, value in job.hyperparameters.items() if key not in tuned
            },
            "HyperParameterTuningResourceConfig": job.machines.resources(),
        },
        "Tags": _tags("tune"),
    }


def _limits(ranges: Sequence[Range]) -> Request:
    """Return the ParameterRanges."""
    kinds = ("Continuous", "Integer", "Categorical")
    limits: dict[str, list[Request]] = {f"{kind}ParameterRanges": [] for kind in kinds}
    for one in ranges:
        if one.values:
            kind, found = "Categorical", {"Name": one.name, "Values": list(one.values)}
        else:
            whole = isinstance(one.low, int) and isinstance(one.high, int)
            kind = "Integer" if whole else "Continuous"
            low, high = _number(one.low), _number(one.high)
            found = {
                "Name": one.name, "MinValue": low, "MaxValue": high, "ScalingType": one.scaling,
            }  # fmt: skip
        limits[f"{kind}ParameterRanges"].append(found)
    return limits


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.12g}"


def model(name: str, image: str, role: str, artifact: str) -> Request:
    """Return CreateModel's request; `artifact` is the address of a model.tar.gz."""
    container = {"Image": image, "Environment": {}, "ModelDataUrl": artifact}
    return {
        "ModelName": name,
        "ExecutionRoleArn": role,
        "PrimaryContainer": container,
        "Tags": _tags("deploy"),
    }


def endpoint_config(name: str, model_name: str, instance_type: str, count: int) -> Request:
    """Return CreateEndpointConfig's request."""
    variant = {
        "VariantName": VARIANT,
        "ModelName": model_name,
        "InitialInstanceCount": count,
        "InstanceType": instance_type,
        "InitialVariantWeight": 1,
    }
    return {
        "EndpointConfigName": name,
        "ProductionVariants": [variant],
        "Tags": _tags("deploy"),
    }


def endpoint(name: str) -> Request:
    """Return CreateEndpoint's request, of a configuration of the same name."""
    return {"EndpointName": name, "EndpointConfigName": name, "Tags": _tags("deploy")}


def transform_job(
    name: str, model_name: str, designs: str, output: str, instance_type: str, count: int
) -> Request:
    """Return CreateTransformJob's request: every design below `designs`, answers below `output`.

    The answer to each object is an object with `.out` after its name.
    """
    return {
        "TransformJobName": name,
        "ModelName": model_name,
        "MaxPayloadInMB": 50,
        "TransformInput": {
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": designs}},
            "ContentType": "application/x-image",
            "CompressionType": "None",
            "SplitType": "None",
        },
        "TransformOutput": {
            "S3OutputPath": output,
            "Accept": "application/jsonlines",
            "AssembleWith": "None",
        },
        "TransformResources": {"InstanceType": instance_type, "InstanceCount": count},
        "Tags": _tags("transform"),
    }
