"""Requests: exactly those of the SageMaker SDK, and valid by the service's model."""

import json
import re
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.validate import ParamValidator

from hangtag.errors import ConfigError
from hangtag.sagemaker import requests
from hangtag.sagemaker.container import _print_metrics
from hangtag.sagemaker.datasets import PackedDataset
from hangtag.sagemaker.requests import Machines, Range, Training, full_name
from hangtag.sagemaker.tuning import default_ranges

# Recorded from the SageMaker SDK by benchmarks/sagemaker_requests.py.
SDK_REQUESTS = json.loads(Path(__file__).with_name("sdk_requests.json").read_text())
DATA = "s3://sagemaker-multi-label-data/ic-multi-label"
ROLE = "arn:aws:iam::123456789012:role/service-role/AmazonSageMaker-ExecutionRole"
MACHINES = Machines(instance_type="ml.p2.xlarge", max_hours=100)
SETTINGS = {
    "num_classes": "334", "num_training_samples": "116945",
    "augmentation_type": "crop_color_transform", "epochs": "5", "image_shape": "3,96,96",
    "learning_rate": "0.001", "mini_batch_size": "256", "multi_label": "1",
    "use_weighted_loss": "1", "optimizer": "adam",
}  # fmt: skip


def job(**changes: Any) -> Training:
    given: dict[str, Any] = {
        "image": requests.built_in_image("us-east-1"), "role": ROLE, "dataset": DATA,
        "output": f"{DATA}/output", "machines": MACHINES, "hyperparameters": SETTINGS, "own": False,
    }  # fmt: skip
    return Training(**(given | changes))


def plain(request: dict[str, Any]) -> dict[str, Any]:
    """Leave out what the SDK adds for its debugger and profiler, and our mark for the bill."""
    kept = {key: value for key, value in request.items() if key not in
            ("Tags", "DebugHookConfig", "ProfilerConfig")}  # fmt: skip
    return json.loads(json.dumps(kept))


def test_the_training_job_is_that_of_image_classification() -> None:
    assert plain(requests.training_job("JOB", job())) == plain(SDK_REQUESTS["CreateTrainingJob"])


def test_the_tuning_job_is_that_of_image_classification() -> None:
    found = requests.tuning_job(
        "JOB", job(), default_ranges(PackedDataset(DATA, None, None, ()), job()),
        objective="validation:accuracy", trials=10, parallel=1,
    )  # fmt: skip
    assert plain(found) == plain(SDK_REQUESTS["CreateHyperParameterTuningJob"])


def test_the_endpoint_is_that_of_image_classification() -> None:
    name = SDK_REQUESTS["CreateModel"]["ModelName"]
    artifact = f"{DATA}/output/JOB/output/model.tar.gz"
    image = requests.built_in_image("us-east-1")
    for found, operation in (
        (requests.model(name, image, ROLE, artifact), "CreateModel"),
        (requests.endpoint_config("JOB", name, "ml.m4.xlarge", 1), "CreateEndpointConfig"),
        (requests.endpoint("JOB"), "CreateEndpoint"),
    ):
        assert plain(found) == plain(SDK_REQUESTS[operation])


def every() -> dict[str, dict[str, Any]]:
    """Return each operation's request with every option that it can have."""
    spot = Machines(instance_type="ml.g5.xlarge", max_hours=2, spot=True, max_wait_hours=4)
    own = job(
        own=True, machines=spot, extra_files=("tags.json", "dataset.json"),
        model=f"{DATA}/output/a/output/model.tar.gz",
    )  # fmt: skip
    ranges = [Range("epochs", 5, 20, "Linear"), Range("loss", values=("asl", "bce"))]
    return {
        "CreateTrainingJob": requests.training_job("hangtag-a", own),
        "CreateHyperParameterTuningJob": requests.tuning_job(
            "hangtag-a", own, ranges, objective="validation:macro_map", trials=4, parallel=2
        ),
        "CreateModel": requests.model("hangtag-a", "image", ROLE, f"{DATA}/model.tar.gz"),
        "CreateEndpointConfig": requests.endpoint_config(
            "hangtag-a", "hangtag-a", "ml.m5.large", 2
        ),
        "CreateEndpoint": requests.endpoint("hangtag-a"),
        "CreateTransformJob": requests.transform_job(
            "hangtag-a", "hangtag-a", "s3://b/designs", "s3://b/out", "ml.m5.large", 1
        ),
    }


@pytest.mark.parametrize("operation", every())
def test_requests_fit_the_services_description(operation: str) -> None:
    model = boto3.client("sagemaker", region_name="us-east-1").meta.service_model
    shape = model.operation_model(operation).input_shape
    for request in (every()[operation], SDK_REQUESTS.get(operation, every()[operation])):
        report = ParamValidator().validate(request, shape)
        assert not report.has_errors(), report.generate_report()
        assert set(request) <= set(shape.members)
    assert [tag["Key"] for tag in every()[operation]["Tags"]] == ["hangtag"]


def test_a_spot_job_goes_on_from_its_own_checkpoint_folder() -> None:
    request = every()["CreateTrainingJob"]
    assert request["EnableManagedSpotTraining"] is True
    assert request["CheckpointConfig"] == {"S3Uri": f"{DATA}/output/hangtag-a/checkpoints"}
    assert request["StoppingCondition"] == {
        "MaxRuntimeInSeconds": 7200, "MaxWaitTimeInSeconds": 14400,
    }  # fmt: skip
    channels = {channel["ChannelName"]: channel for channel in request["InputDataConfig"]}
    assert set(channels) == {"train", "validation", "tags", "dataset", "model"}
    assert channels["tags"]["DataSource"]["S3DataSource"]["S3Uri"] == f"{DATA}/tags.json"


def test_the_metric_definitions_read_what_the_container_prints(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _print_metrics({
        "epoch": 3, "learning_rate": 1e-3, "train_loss": 0.25, "validation_macro_map": 4.5e-05,
        "validation_micro_map": 0.75, "validation_accuracy": 0.98, "seconds": 12.3,
    })  # fmt: skip
    line = capsys.readouterr().out
    definitions = every()["CreateTrainingJob"]["AlgorithmSpecification"]["MetricDefinitions"]
    read = {one["Name"]: re.findall(one["Regex"], line) for one in definitions}
    assert {name: [float(text) for text in texts] for name, texts in read.items()} == {
        "validation:macro_map": [4.5e-05], "validation:micro_map": [0.75],
        "validation:accuracy": [0.98], "train:loss": [0.25],
    }  # fmt: skip


def test_regions() -> None:
    assert requests.built_in_image("eu-central-1").startswith("813361260812.dkr.ecr.eu-central-1.")
    assert ".amazonaws.com.cn/" in requests.built_in_image("cn-north-1")
    with pytest.raises(ConfigError, match="not offered in mars-1"):
        requests.built_in_image("mars-1")


def test_names() -> None:
    assert full_name("shop") == full_name("hangtag-shop") == "hangtag-shop"
    for bad in ("a b", "ä", "", "a" * 60):
        with pytest.raises(ConfigError, match="cannot be a name"):
            full_name(bad)
    with pytest.raises(ConfigError, match="at most 32"):
        full_name("a" * 25, 32)


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_hours": 0}, {"count": 0}, {"max_wait_hours": 3.0},
        {"spot": True, "max_wait_hours": 1.0, "max_hours": 2},
    ],
)  # fmt: skip
def test_machines_that_cannot_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Machines(**({"instance_type": "ml.g5.xlarge", "max_hours": 1} | wrong))
