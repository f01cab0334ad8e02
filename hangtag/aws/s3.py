"""Objects of S3: read whole and checked, listed, written; every failure retried or told.

Credentials, region and endpoint come by boto3's usual chain only, and are never stored or logged.
"""

import functools
import hashlib
import random
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from hangtag.aws.object_cache import ObjectCache
from hangtag.errors import MissingExtra, StorageError
from hangtag.files import S3

R = TypeVar("R")

CONNECT_SECONDS: Final = 10
READ_SECONDS: Final = 30
_PART: Final = 8 * 2**20  # bytes; boto3's own size of a part
# Besides the retries that botocore makes for an answer that never began.
_PAUSES: Final = (0.2, 1.0, 4.0)
_MD5 = re.compile(r'"?([0-9a-f]{32})"?')
_GONE = ("404", "NoSuchKey", "NotFound")
# Nothing can be read with these: every other object would fail as well.
_HOPELESS: Final = {
    "NoSuchBucket": "there is no such bucket",
    "InvalidBucketName": "that is no name of a bucket",
    "ExpiredToken": "the credentials have expired; renew them and run the same command again",
    "InvalidAccessKeyId": "the access key is not known there",
    "SignatureDoesNotMatch": "the secret key does not fit the access key",
    "PermanentRedirect": "the bucket lies in another region; set AWS_REGION",
}


@dataclass(frozen=True)
class Object:
    """An object as a listing tells of it."""

    key: str
    size: int  # bytes
    etag: str


def split(address: str) -> tuple[str, str]:
    """Return bucket and key of an `s3://` address. Raises StorageError without a bucket."""
    bucket, _, key = address.removeprefix(S3).partition("/")
    if not bucket:
        raise StorageError(f"{address}: no bucket; write s3://BUCKET/PREFIX")
    return bucket, key


@functools.cache
def client() -> Any:
    """Return this process's client of S3; its methods may be called from many threads."""
    try:
        import boto3
        from botocore.config import Config
    except ImportError as cause:
        raise MissingExtra("s3://", "aws") from cause
    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": 8},
        max_pool_connections=64,
    )
    return boto3.session.Session().client("s3", config=config)


def read(address: str, limit: int | None = None) -> bytes:
    """Return an object, from the cache where it has not changed since.

    Its length and, where that is an MD5, its ETag must fit. Raises FileNotFoundError,
    PermissionError, ConnectionError (no whole answer in spite of retries), OSError (over `limit`
    bytes), and StorageError for what no other object could do better.
    """
    bucket, key = split(address)
    cache = ObjectCache.default()
    cached = cache.get(address)

    def attempt() -> bytes:
        import botocore.exceptions

        asked = {"Bucket": bucket, "Key": key}
        if cached:
            asked["IfNoneMatch"] = cached.etag
        try:
            answer = client().get_object(**asked)
        except botocore.exceptions.ClientError as cause:
            if cached and cause.response["ResponseMetadata"]["HTTPStatusCode"] == 304:
                return cached.data
            raise
        with answer["Body"] as body:
            if limit is not None and answer["ContentLength"] > limit:
                raise OSError(f"{address} has over {limit / 2**20:.0f} MiB")
            data: bytes = body.read()
        check(data, answer)
        cache.put(address, answer["ETag"], data)
        return data

    return told(address, attempt)


def check(data: bytes, answer: dict[str, Any]) -> None:
    """Raise ConnectionError unless `data` is the body that the answer's headers describe."""
    if len(data) != answer["ContentLength"]:
        raise ConnectionError(f"{len(data)} of {answer['ContentLength']} bytes came")
    md5 = _MD5.fullmatch(answer["ETag"])
    # The ETag of an object encrypted by KMS, or with a customer's key, only looks like an MD5.
    plain = answer.get("ServerSideEncryption", "AES256") == "AES256"
    whole = "SSECustomerAlgorithm" not in answer and "ContentRange" not in answer
    if md5 and plain and whole and hashlib.md5(data, usedforsecurity=False).hexdigest() != md5[1]:
        raise ConnectionError(f"its bytes do not fit its ETag {md5[1]}")


def told(address: str, attempt: Callable[[], R]) -> R:
    """Return what `attempt` returns, tried again while that may help; errors as `read` tells them.

    botocore itself retries what fails before an answer begins; this loop, what breaks within one.
    """
    import botocore.exceptions
    import urllib3.exceptions  # botocore lets them through where a body breaks off

    broken = (botocore.exceptions.BotoCoreError, urllib3.exceptions.HTTPError, ConnectionError)
    for pause in (*_PAUSES, None):
        try:
            return attempt()
        except botocore.exceptions.ClientError as cause:
            raise _from_answer(address, cause) from cause
        except (
            botocore.exceptions.NoCredentialsError,
            botocore.exceptions.PartialCredentialsError,
            botocore.exceptions.NoRegionError,
            botocore.exceptions.ProfileNotFound,
            botocore.exceptions.ParamValidationError,
        ) as cause:
            why = " ".join(str(cause).split()).rstrip(".")
            raise StorageError(f"{address}: {why}") from cause
        except broken as cause:
            if pause is None:
                why = " ".join(str(cause).split()).rstrip(".")
                raise ConnectionError(f"{address}: {why}") from cause
            time.sleep(pause * random.uniform(0.5, 1.5))
    raise AssertionError


def _from_answer(address: str, cause: Any) -> Exception:
    """Turn an answer of S3 that is an error into ours."""
    code = str(cause.response["Error"].get("Code", ""))
    status = cause.response["ResponseMetadata"].get("HTTPStatusCode", 0)
    said = cause.response["Error"].get("Message") or code
    if code in _HOPELESS:
        return StorageError(f"{address}: {_HOPELESS[code]}")
    if code in _GONE or status == 404:
        return FileNotFoundError(f"{address}: no such object")
    if status == 403:
        return PermissionError(f"{address}: no right to read it ({said})")
    if status >= 500 or status == 429:
        return ConnectionError(f"{address}: {said}")
    return StorageError(f"{address}: {said}")


def listed(address: str, *, nested: bool = True) -> Iterator[Object]:
    """Yield the objects below an `s3://` address, as below a folder, by key. Raises as `read`.

    Without `nested` those of the folders within are left out.
    """
    bucket, prefix = split(address.rstrip("/"))
    below = f"{prefix}/" if prefix else ""
    token = {} if nested else {"Delimiter": "/"}
    while True:
        asked = {"Bucket": bucket, "Prefix": below, **token}
        page = told(address, lambda asked=asked: client().list_objects_v2(**asked))  # type: ignore[misc]
        for item in page.get("Contents", ()):
            if not item["Key"].endswith("/"):  # consoles make such objects for empty folders
                yield Object(item["Key"], item["Size"], item["ETag"])
        if not page.get("IsTruncated"):
            return
        token["ContinuationToken"] = page["NextContinuationToken"]


def head(address: str) -> Object | None:
    """Return what is known of one object, or None where there is none. Raises as `read`."""
    bucket, key = split(address)
    if not key:
        return None
    try:
        found = told(address, lambda: client().head_object(Bucket=bucket, Key=key))
    except FileNotFoundError:
        return None
    return Object(key, found["ContentLength"], found["ETag"])


def upload(path: Path, address: str) -> Object:
    """Write a local file to an address, in parts where it is large; return what lies there now.

    boto3's transfer manager retries, and sends checksums that S3 compares. Raises as `read`.
    """
    import boto3.exceptions

    bucket, key = split(address)

    def attempt() -> None:
        try:
            client().upload_file(str(path), bucket, key)
        except boto3.exceptions.S3UploadFailedError as cause:
            raise cause.__context__ or cause from cause

    told(address, attempt)
    found = head(address)
    if found is None or found.size != path.stat().st_size:
        raise ConnectionError(f"{address}: not there whole after it was written")
    return found


def is_same(path: Path, there: Object) -> bool:
    """Whether a local file has the bytes of an object, as far as size and ETag tell."""
    if path.stat().st_size != there.size:
        return False
    md5 = _MD5.fullmatch(there.etag)
    if md5 is None:  # it was written in parts
        return _etag_of_parts(path) == there.etag.strip('"')
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest() == md5[1]


def _etag_of_parts(path: Path) -> str:
    """Return the ETag that S3 gives a file which boto3 has written in parts."""
    digests = []
    with path.open("rb") as file:
        while part := file.read(_PART):
            digests.append(hashlib.md5(part, usedforsecurity=False).digest())
    whole = hashlib.md5(b"".join(digests), usedforsecurity=False).hexdigest()
    return f"{whole}-{len(digests)}"


def delete(address: str) -> None:
    """Remove one object, which may be gone already. Raises as `read`."""
    bucket, key = split(address)
    told(address, lambda: client().delete_object(Bucket=bucket, Key=key))
