"""Requests to S3: the client, retries, and the errors that a failed request becomes.

Credentials, region and endpoint come by boto3's usual chain only, and are never stored or logged.
"""

import functools
import hashlib
import random
import re
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

from hangtag.errors import MissingExtra, StorageError

R = TypeVar("R")

# For one address of the bucket's name, of which there may be eight.
CONNECT_SECONDS: Final = 4
READ_SECONDS: Final = 12  # until the next bytes come
# No request is repeated after so long: a dead endpoint is reported within a minute.
PATIENCE_SECONDS: Final = 25.0
_PAUSES: Final = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0)  # seconds between attempts
# After a request got no answer in spite of all retries, no other one begins for so many seconds.
_DEAD_SECONDS: Final = 10.0
MD5_ETAG: Final = re.compile(r'"?([0-9a-f]{32})"?')
_GONE = ("404", "NoSuchKey", "NotFound")
_CHANGED = ("412", "PreconditionFailed")
# Answers of status 400 that another attempt may get past.
_PASSING = (
    "RequestTimeout",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "RequestLimitExceeded",
)
# Nothing can be read with these: every other object would fail as well.
_HOPELESS: Final = {
    "NoSuchBucket": "there is no such bucket",
    "InvalidBucketName": "that is not the name of a bucket",
    "ExpiredToken": "the credentials have expired; renew them and run the same command again",
    "InvalidAccessKeyId": "the access key is unknown; check the credentials",
    "SignatureDoesNotMatch": "the secret key does not fit the access key; check the credentials",
    "PermanentRedirect": "the bucket is in another region; set AWS_REGION",
}


class Changed(StorageError):
    """An object is not the one that was listed."""


@functools.cache
def client(attempts: int = 1) -> Any:
    """Return this process's client of S3; its methods may be called from many threads.

    `attempts`: how often botocore itself tries, for calls that `with_retries` does not repeat.
    """
    _check_installed()
    import boto3
    from botocore.config import Config

    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": attempts},
        max_pool_connections=64,
    )
    return boto3.session.Session().client("s3", config=config)


def _check_installed() -> None:
    """Raise MissingExtra without boto3, which brings botocore and urllib3."""
    try:
        import boto3  # noqa: F401
    except ImportError as cause:
        raise MissingExtra("s3://", "aws") from cause


class _Endpoint:
    """Whether the endpoint has just given no answer at all to this process."""

    def __init__(self) -> None:
        self._silent_until = 0.0  # on the monotonic clock

    def answered(self) -> None:
        self._silent_until = 0.0

    def gave_no_answer(self) -> None:
        self._silent_until = time.monotonic() + _DEAD_SECONDS

    @property
    def is_silent(self) -> bool:
        return time.monotonic() < self._silent_until


_endpoint: Final = _Endpoint()


def with_retries(address: str, attempt: Callable[[], R], *, repeat: bool = True) -> R:
    """Return what `attempt` returns, repeated while that may help.

    The only loop of retries, unless `repeat` is off: then botocore has one of its own. While an
    endpoint gives no answer, requests under way are not repeated and others fail at once: each of
    hundreds of addresses would wait as long.

    Raises FileNotFoundError, PermissionError, ConnectionError (no whole answer in spite of
    retries), Changed, StorageError where every other object of the bucket would fail as well, and
    MissingExtra without boto3.
    """
    _check_installed()
    import botocore.exceptions
    import urllib3.exceptions

    silent = (botocore.exceptions.BotoCoreError, urllib3.exceptions.HTTPError)
    began = time.monotonic()
    for pause in (*_PAUSES, None):
        if _endpoint.is_silent:
            raise ConnectionError(f"{address}: no answer from S3 just now")
        try:
            found = attempt()
        except (botocore.exceptions.ClientError, ConnectionError, *silent) as cause:
            if not isinstance(cause, silent):
                _endpoint.answered()
            failure = _failure(address, cause)
            if not isinstance(failure, ConnectionError):
                raise failure from cause
            if pause is None or not repeat or time.monotonic() - began > PATIENCE_SECONDS:
                if isinstance(cause, silent):
                    _endpoint.gave_no_answer()
                raise failure from cause
        else:
            _endpoint.answered()
            return found
        time.sleep(pause * random.uniform(0.5, 1.5))
    raise AssertionError


def _failure(address: str, cause: Exception) -> Exception:
    """Return the error that a failed request becomes; a ConnectionError may pass by itself."""
    import botocore.exceptions

    if isinstance(cause, botocore.exceptions.ClientError):
        return _from_answer(address, cause)
    set_up_wrongly = (
        botocore.exceptions.NoCredentialsError,
        botocore.exceptions.PartialCredentialsError,
        botocore.exceptions.NoRegionError,
        botocore.exceptions.ProfileNotFound,
        botocore.exceptions.ParamValidationError,
    )
    text = _line(cause)
    text = text if text.startswith(address) else f"{address}: {text}"
    return StorageError(text) if isinstance(cause, set_up_wrongly) else ConnectionError(text)


def _line(cause: Exception) -> str:
    return " ".join(str(cause).split()).rstrip(".")


def _from_answer(address: str, cause: Any) -> Exception:
    """Turn an answer of S3 that is an error into ours."""
    code = str(cause.response["Error"].get("Code", ""))
    status = cause.response["ResponseMetadata"].get("HTTPStatusCode", 0)
    reason = cause.response["Error"].get("Message") or code
    if code in _HOPELESS:
        return StorageError(f"{address}: {_HOPELESS[code]}")
    if code in _GONE or status == 404:
        return FileNotFoundError(f"{address}: no such object")
    if code in _CHANGED or status == 412:
        return Changed(f"{address}: changed while it was fetched")
    if status == 403:
        return PermissionError(f"{address}: no permission to read it ({reason})")
    if status >= 500 or status == 429 or code in _PASSING:
        return ConnectionError(f"{address}: {reason}")
    return StorageError(f"{address}: {reason}")


def whole_body(body: Any) -> bytes:
    """Return the rest of an answer's body. Raises ConnectionError where it breaks off."""
    import botocore.exceptions
    import urllib3.exceptions  # botocore lets them through

    try:
        data: bytes = body.read()
    except (botocore.exceptions.BotoCoreError, urllib3.exceptions.HTTPError) as cause:
        raise ConnectionError(f"its answer broke off: {_line(cause)}") from cause
    return data


def check_body(data: bytes, answer: dict[str, Any]) -> None:
    """Raise ConnectionError unless `data` is the body that the answer's headers describe."""
    if len(data) != answer["ContentLength"]:
        raise ConnectionError(f"{len(data)} of {answer['ContentLength']} bytes came")
    md5 = MD5_ETAG.fullmatch(answer["ETag"])
    # The ETag of an object encrypted by KMS, or with a customer's key, is not an MD5.
    plain = answer.get("ServerSideEncryption", "AES256") == "AES256"
    span = f"bytes 0-{len(data) - 1}/{len(data)}"
    whole = "SSECustomerAlgorithm" not in answer and answer.get("ContentRange", span) == span
    if md5 and plain and whole and hashlib.md5(data, usedforsecurity=False).hexdigest() != md5[1]:
        raise ConnectionError(f"its bytes do not fit its ETag {md5[1]}")
