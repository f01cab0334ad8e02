"""Objects of S3: read whole and checked, listed, written and removed."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hangtag.errors import StorageError
from hangtag.storage.addresses import S3
from hangtag.storage.object_cache import ObjectCache
from hangtag.storage.s3_requests import check_body, client, whole_body, with_retries

_UPLOAD_ATTEMPTS: Final = 3  # of each part, by botocore


@dataclass(frozen=True)
class Object:
    """An object as a listing describes it."""

    key: str
    size: int  # bytes
    etag: str


def split(address: str) -> tuple[str, str]:
    """Return bucket and key of an `s3://` address. Raises StorageError without a bucket."""
    bucket, _, key = address.removeprefix(S3).partition("/")
    if not bucket:
        raise StorageError(f"{address}: no bucket; write s3://BUCKET/PREFIX")
    return bucket, key


def read(address: str, limit: int | None = None) -> bytes:
    """Return an object, from the cache where it has not changed since.

    Its length and, where that is an MD5, its ETag must fit. Raises FileNotFoundError,
    PermissionError, ConnectionError (no whole answer in spite of retries), OSError (over `limit`
    bytes), and StorageError where every other object would fail as well.
    """
    bucket, key = split(address)
    cache = ObjectCache.default()
    cached = cache.get(address)

    def attempt() -> bytes:
        import botocore.exceptions

        request = {"Bucket": bucket, "Key": key}
        if cached:
            request["IfNoneMatch"] = cached.etag
        try:
            answer = client().get_object(**request)
        except botocore.exceptions.ClientError as cause:
            if cached and cause.response["ResponseMetadata"]["HTTPStatusCode"] == 304:
                return cached.data
            raise
        with answer["Body"] as body:
            if limit is not None and answer["ContentLength"] > limit:
                raise OSError(f"{address} has over {limit / 2**20:.0f} MiB")
            data = whole_body(body)
        check_body(data, answer)
        cache.put(address, answer["ETag"], data)
        return data

    return with_retries(address, attempt)


def listed(address: str, *, nested: bool = True) -> Iterator[Object]:
    """Yield the objects below an `s3://` address, as below a folder, by key. Raises as `read`.

    Without `nested`, those in the folders within are left out. Keys may hold any character: they
    come URL-encoded, as XML cannot hold all, and boto3 decodes them.
    """
    bucket, prefix = split(address)
    below = prefix if not prefix or prefix.endswith("/") else f"{prefix}/"
    token = {} if nested else {"Delimiter": "/"}

    def page() -> Any:
        return client().list_objects_v2(Bucket=bucket, Prefix=below, **token)

    while True:
        found = with_retries(address, page)
        for item in found.get("Contents", ()):
            if not item["Key"].endswith("/"):  # consoles make such objects for empty folders
                yield Object(item["Key"], item["Size"], item["ETag"])
        if not found.get("IsTruncated"):
            return
        token["ContinuationToken"] = found["NextContinuationToken"]


def head(address: str) -> Object | None:
    """Return one object without its bytes, or None where there is none. Raises as `read`."""
    bucket, key = split(address)
    if not key:
        return None
    try:
        found = with_retries(address, lambda: client().head_object(Bucket=bucket, Key=key))
    except FileNotFoundError:
        return None
    return Object(key, found["ContentLength"], found["ETag"])


def upload(path: Path, address: str) -> Object:
    """Write a local file to an address, in parts where it is large; return what is there now.

    boto3's transfer manager retries each part, and sends checksums that S3 compares. Raises as
    `read`.
    """
    bucket, key = split(address)

    def attempt() -> None:
        import boto3.exceptions

        try:
            client(_UPLOAD_ATTEMPTS).upload_file(str(path), bucket, key)
        except boto3.exceptions.S3UploadFailedError as cause:
            raise cause.__context__ or cause from cause

    with_retries(address, attempt, repeat=False)
    found = head(address)
    if found is None or found.size != path.stat().st_size:
        raise ConnectionError(f"{address}: incomplete after it was written; try again")
    return found


def delete(address: str) -> None:
    """Remove one object, which may be gone already. Raises as `read`."""
    bucket, key = split(address)
    with_retries(address, lambda: client().delete_object(Bucket=bucket, Key=key))
