"""The requests of notebooks for SageMaker's image classification, recorded from the SageMaker SDK.

    python benchmarks/sagemaker_requests.py REQUESTS.json

The tests compare hangtag's own requests with REQUESTS.json. Runs in an environment of its own
(`pip install "sagemaker<2.200" "setuptools<80"`), not hangtag's. Nothing is sent: the calls are
recorded where the SDK hands them to boto3.
"""

import json
import os
import sys
from pathlib import Path
from unittest import mock

os.environ.update(
    AWS_DEFAULT_REGION="us-east-1", AWS_ACCESS_KEY_ID="anyone", AWS_SECRET_ACCESS_KEY="anything"
)

import botocore.client
import sagemaker
from sagemaker import image_uris
from sagemaker.estimator import Estimator
from sagemaker.inputs import TrainingInput
from sagemaker.tuner import (
    CategoricalParameter,
    ContinuousParameter,
    HyperparameterTuner,
    IntegerParameter,
)

ROLE = "arn:aws:iam::123456789012:role/service-role/AmazonSageMaker-ExecutionRole"
DATA = "s3://sagemaker-multi-label-data/ic-multi-label"
taken = {}


def take(self, operation, request):
    taken[operation] = request
    if operation == "DescribeTrainingJob":
        return {"ModelArtifacts": {"S3ModelArtifacts": f"{DATA}/output/JOB/output/model.tar.gz"}}
    return {"EndpointStatus": "InService", "EndpointArn": "arn", "TrainingJobArn": "arn"}


def main():
    with mock.patch.object(botocore.client.BaseClient, "_make_api_call", take):
        session = sagemaker.Session(default_bucket="sagemaker-multi-label-data")
        estimator = Estimator(
            image_uris.retrieve("image-classification", "us-east-1", version="1"),
            ROLE, instance_count=1, instance_type="ml.p2.xlarge", volume_size=50, max_run=360000,
            input_mode="File", output_path=f"{DATA}/output", sagemaker_session=session,
        )  # fmt: skip
        estimator.set_hyperparameters(
            num_classes=334, num_training_samples=116945, augmentation_type="crop_color_transform",
            epochs=5, image_shape="3,96,96", learning_rate=0.001, mini_batch_size=256,
            multi_label=1, use_weighted_loss=1, optimizer="adam",
        )  # fmt: skip
        inputs = {
            "train": TrainingInput(
                f"{DATA}/training/", distribution="FullyReplicated",
                content_type="application/x-recordio", s3_data_type="S3Prefix",
            ),
            "validation": TrainingInput(
                f"{DATA}/validation/", distribution="FullyReplicated",
                content_type="application/x-recordio", s3_data_type="S3Prefix",
            ),
        }  # fmt: skip
        estimator.fit(inputs, wait=False, logs=False, job_name="JOB")
        tuner = HyperparameterTuner(
            estimator, "validation:accuracy",
            {
                "learning_rate": ContinuousParameter(0.0001, 0.05),
                "mini_batch_size": IntegerParameter(126, 256),
                "optimizer": CategoricalParameter(["sgd", "adam", "rmsprop", "nag"]),
            },
            objective_type="Maximize", max_jobs=10, max_parallel_jobs=1,
        )  # fmt: skip
        tuner.fit(inputs, job_name="JOB", wait=False, include_cls_metadata=False)
        estimator.deploy(1, "ml.m4.xlarge", endpoint_name="JOB", wait=False)
    wanted = (
        "CreateTrainingJob", "CreateHyperParameterTuningJob", "CreateModel",
        "CreateEndpointConfig", "CreateEndpoint",
    )  # fmt: skip
    found = {name: taken[name] for name in wanted}
    Path(sys.argv[1]).write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
