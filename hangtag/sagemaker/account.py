"""SageMaker as the usual chain of credentials reaches it, by boto3 calls alone."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Final

from hangtag.errors import ConfigError, JobError, MissingExtra
from hangtag.sagemaker.requests import Request

Call = tuple[str, Request]
"""The name of an operation in boto3, such as create_training_job, and its request."""

# Seconds to wait for an answer, and attempts: an endpoint that does not answer is reported within a
# minute. The model itself may take almost one.
_TIMEOUTS: Final = {"sagemaker": (15, 3), "sagemaker-runtime": (55, 1)}
# For jobs that do not exist SageMaker has an error code; for endpoints and models only a text.
_ABSENT_CODE: Final = "ResourceNotFound"
_ABSENT: Final = ("could not find", "can't find", "not found", "does not exist")


class Account:
    """A connection to SageMaker with the usual chain of credentials."""

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

        seconds, attempts = _TIMEOUTS[service]
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
        """Return whether the installed boto3 has an operation: an older one lacks some."""
        return hasattr(self._sagemaker, operation)

    def call(self, operation: str, request: Request) -> Any:
        """Return SageMaker's response. Raises JobError; LookupError for what does not exist."""
        client = self._runtime if operation == "invoke_endpoint" else self._sagemaker
        import botocore.exceptions

        try:
            return getattr(client, operation)(**request)
        except botocore.exceptions.ClientError as cause:
            message = str(cause.response["Error"].get("Message") or cause)
            code = cause.response["Error"].get("Code")
            if code == _ABSENT_CODE or any(words in message.lower() for words in _ABSENT):
                raise LookupError(message) from cause
            raise JobError(f"SageMaker refused {operation}: {message}") from cause
        except botocore.exceptions.BotoCoreError as cause:
            raise JobError(f"{operation}: {' '.join(str(cause).split())}") from cause

    def check(self, calls: Sequence[Call]) -> None:
        """Validate requests against the service's model, unsent. Raises ConfigError."""
        from botocore.validate import ParamValidator

        for operation, request in calls:
            name = self._sagemaker.meta.method_to_api_mapping[operation]
            shape = self._sagemaker.meta.service_model.operation_model(name).input_shape
            report = ParamValidator().validate(request, shape)
            if report.has_errors():
                raise ConfigError(f"{name}: {' '.join(report.generate_report().split())}")

    def send(self, calls: Sequence[Call]) -> None:
        """Make calls in order. Raises JobError, which names the calls already made."""
        self.check(calls)
        for number, (operation, request) in enumerate(calls):
            try:
                self.call(operation, request)
            except (JobError, LookupError) as cause:
                made = ", ".join(name for name, _ in calls[:number])
                left = f"; done before it: {made}" if made else ""
                raise JobError(f"{cause}{left}") from cause
