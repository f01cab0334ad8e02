"""Objects of S3: read whole and checked, listed, written; every failure retried or told.

Credentials, region and endpoint come by boto3's usual chain only, and are never stored or logged.
"""

import base64
import functools
import hashlib
import random
import re
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from hangtag.errors import MissingExtra, StorageError
from hangtag.storage.addresses import S3
from hangtag.storage.object_cache import ObjectCache

R = TypeVar("R")

# For one address of the bucket's name, of which there may be eight.
CONNECT_SECONDS: Final = 4
READ_SECONDS: Final = 12  # until the next bytes come
# No request is repeated after so long: an endpoint that is dead is reported within a minute.
PATIENCE_SECONDS: Final = 25.0
_PAUSES: Final = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0)  # seconds between attempts
# After a request has had no answer in spite of all, others are not begun for so many seconds.
_DEAD_SECONDS: Final = 10.0
_UPLOAD_ATTEMPTS: Final = 3  # of each part, by botocore
_PART: Final = 8 * 2**20  # bytes; boto3's own size of a part
_KNOWN_PARTS: Final = (5, 8, 10, 15, 16, 32, 50, 64, 100, 128)  # MiB
_MD5 = re.compile(r'"?([0-9a-f]{32})"?')
_GONE = ("404", "NoSuchKey", "NotFound")
_CHANGED = ("412", "PreconditionFailed")
# Answers of status 400 that another try may get past.
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
    "InvalidBucketName": "that is no name of a bucket",
    "ExpiredToken": "the credentials have expired; renew them and run the same command again",
    "InvalidAccessKeyId": "the access key is not known there",
    "SignatureDoesNotMatch": "the secret key does not fit the access key",
    "PermanentRedirect": "the bucket lies in another region; set AWS_REGION",
}


class Changed(StorageError):
    """An object is not the one that was listed."""


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
def client(attempts: int = 1) -> Any:
    """Return this process's client of S3; its methods may be called from many threads.

    `attempts`: how often botocore itself tries, for calls that `told` does not repeat.
    """
    try:
        import boto3
        from botocore.config import Config
    except ImportError as cause:
        raise MissingExtra("s3://", "aws") from cause
    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": attempts},
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
            data = whole_body(body)
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
    span = f"bytes 0-{len(data) - 1}/{len(data)}"
    whole = "SSECustomerAlgorithm" not in answer and answer.get("ContentRange", span) == span
    if md5 and plain and whole and hashlib.md5(data, usedforsecurity=False).hexdigest() != md5[1]:
        raise ConnectionError(f"its bytes do not fit its ETag {md5[1]}")


def whole_body(body: Any) -> bytes:
    """Return the rest of an answer's body. Raises ConnectionError where it breaks off."""
    import botocore.exceptions
    import urllib3.exceptions  # botocore lets them through

    try:
        data: bytes = body.read()
    except (botocore.exceptions.BotoCoreError, urllib3.exceptions.HTTPError) as cause:
        raise ConnectionError(f"its answer broke off: {_line(cause)}") from cause
    return data


class _Endpoint:
    """What this process knows of the endpoint: whether it answers at all."""

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


def told(address: str, attempt: Callable[[], R], *, repeat: bool = True) -> R:
    """Return what `attempt` returns, repeated while that may help; errors as `read` tells them.

    The only loop of retries, unless `repeat` is off: then botocore has one of its own. Where an
    endpoint gives no answer, requests under way are not repeated either, and others fail at once:
    of hundreds of addresses each would wait as long.
    """
    import botocore.exceptions
    import urllib3.exceptions

    silent = (botocore.exceptions.BotoCoreError, urllib3.exceptions.HTTPError)
    began = time.monotonic()
    for pause in (*_PAUSES, None):
        if _endpoint.is_silent:
            raise ConnectionError(f"{address}: no answer from S3 just now")
        failed: Exception
        try:
            found = attempt()
        except botocore.exceptions.ClientError as cause:
            _endpoint.answered()
            failed = _from_answer(address, cause)
            if not isinstance(failed, ConnectionError):
                raise failed from cause
        except (
            botocore.exceptions.NoCredentialsError,
            botocore.exceptions.PartialCredentialsError,
            botocore.exceptions.NoRegionError,
            botocore.exceptions.ProfileNotFound,
            botocore.exceptions.ParamValidationError,
        ) as cause:
            raise StorageError(f"{address}: {_line(cause)}") from cause
        except ConnectionError as cause:  # within an answer
            _endpoint.answered()
            failed = cause
        except silent as cause:
            failed = cause
        else:
            _endpoint.answered()
            return found
        if pause is None or not repeat or time.monotonic() - began > PATIENCE_SECONDS:
            if isinstance(failed, silent):
                _endpoint.gave_no_answer()
            raise ConnectionError(_about(address, failed)) from failed
        time.sleep(pause * random.uniform(0.5, 1.5))
    raise AssertionError


def _about(address: str, cause: Exception) -> str:
    text = _line(cause)
    return text if text.startswith(address) else f"{address}: {text}"


def _line(cause: Exception) -> str:
    return " ".join(str(cause).split()).rstrip(".")


def _from_answer(address: str, cause: Any) -> Exception:
    """Turn an answer of S3 that is an error into ours."""
    code = str(cause.response["Error"].get("Code", ""))
    status = cause.response["ResponseMetadata"].get("HTTPStatusCode", 0)
    said = cause.response["Error"].get("Message") or code
    if code in _HOPELESS:
        return StorageError(f"{address}: {_HOPELESS[code]}")
    if code in _GONE or status == 404:
        return FileNotFoundError(f"{address}: no such object")
    if code in _CHANGED or status == 412:
        return Changed(f"{address}: changed while it was fetched")
    if status == 403:
        return PermissionError(f"{address}: no right to read it ({said})")
    if status >= 500 or status == 429 or code in _PASSING:
        return ConnectionError(f"{address}: {said}")
    return StorageError(f"{address}: {said}")


def listed(address: str, *, nested: bool = True) -> Iterator[Object]:
    """Yield the objects below an `s3://` address, as below a folder, by key. Raises as `read`.

    Without `nested` those of the folders within are left out. Keys may hold any character: they
    come URL-encoded, as XML cannot hold all, and boto3 decodes them.
    """
    bucket, prefix = split(address)
    below = prefix if not prefix or prefix.endswith("/") else f"{prefix}/"
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

    boto3's transfer manager retries each part, and sends checksums that S3 compares. Raises as
    `read`.
    """
    import boto3.exceptions

    bucket, key = split(address)

    def attempt() -> None:
        try:
            client(_UPLOAD_ATTEMPTS).upload_file(str(path), bucket, key)
        except boto3.exceptions.S3UploadFailedError as cause:
            raise cause.__context__ or cause from cause

    told(address, attempt, repeat=False)
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
        return _etag_of_parts(path, _PART) == there.etag.strip('"')
    return _file_digest(path, "md5") == md5[1]


def is_whole(path: Path, address: str, there: Object) -> bool:
    """Whether a file that came in parts has the bytes of an object, by the best that S3 says of it.

    By its ETag where that is made from MD5s, else by a checksum of the whole object; where there is
    neither (encrypted by KMS, without a checksum) by the size. Raises as `read`, and Changed.
    """
    if path.stat().st_size != there.size:
        return False
    bucket, key = split(address)
    asked = {"Bucket": bucket, "Key": key, "IfMatch": there.etag}
    said = told(address, lambda: client().head_object(**asked, ChecksumMode="ENABLED"))
    plain = said.get("ServerSideEncryption", "AES256") == "AES256"
    if plain and "SSECustomerAlgorithm" not in said:
        return _has_etag(path, address, there)
    if said.get("ChecksumType") == "FULL_OBJECT":  # not made of its parts'
        for name in ("SHA256", "SHA1", "CRC32"):
            if f"Checksum{name}" in said:
                return _checksum(path, name) == str(said[f"Checksum{name}"])
    return True


def _has_etag(path: Path, address: str, there: Object) -> bool:
    """Whether a file of an object's size has its ETag, as far as it is known how that is made."""
    etag = there.etag.strip('"')
    if not re.fullmatch(r"[0-9a-f]{32}-\d+", etag):
        return not _MD5.fullmatch(etag) or _file_digest(path, "md5") == etag
    count = int(etag.rpartition("-")[2])
    bucket, key = split(address)
    first = told(address, lambda: client().head_object(Bucket=bucket, Key=key, PartNumber=1))
    size = first["ContentLength"]
    # Not every server says how large a part is: then by the sizes that programs are known for.
    certain = size > 0 and -(-there.size // size) == count
    sizes = [size] if certain else [n * 2**20 for n in _KNOWN_PARTS]
    fitting = [n for n in sizes if -(-there.size // n) == count]
    return any(_etag_of_parts(path, n) == etag for n in fitting) or not certain


def _file_digest(path: Path, name: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, name).hexdigest()


def _checksum(path: Path, name: str) -> str:
    """Return a file's checksum as S3 writes it: base64 of its bytes, the highest first."""
    if name != "CRC32":
        return base64.b64encode(bytes.fromhex(_file_digest(path, name.lower()))).decode()
    found = 0
    with path.open("rb") as file:
        while part := file.read(_PART):
            found = zlib.crc32(part, found)
    return base64.b64encode(found.to_bytes(4, "big")).decode()


def _etag_of_parts(path: Path, size: int) -> str:
    """Return the ETag that S3 gives a file which was written in parts of `size` bytes."""
    digests = []
    with path.open("rb") as file:
        while part := file.read(size):
            digests.append(hashlib.md5(part, usedforsecurity=False).digest())
    whole = hashlib.md5(b"".join(digests), usedforsecurity=False).hexdigest()
    return f"{whole}-{len(digests)}"


def delete(address: str) -> None:
    """Remove one object, which may be gone already. Raises as `read`."""
    bucket, key = split(address)
    told(address, lambda: client().delete_object(Bucket=bucket, Key=key))
