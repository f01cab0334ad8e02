"""Whether a local file has the bytes of an object of S3: by its ETag, or another checksum."""

import base64
import hashlib
import re
import zlib
from pathlib import Path
from typing import Final

from hangtag.storage.s3 import Object, split
from hangtag.storage.s3_requests import MD5_ETAG, client, with_retries

_PART: Final = 8 * 2**20  # bytes; boto3's default size of a part
_COMMON_PARTS: Final = (5, 8, 10, 15, 16, 32, 50, 64, 100, 128)  # MiB, by various programs


def is_same(path: Path, there: Object) -> bool:
    """Return whether a local file has the bytes of an object, as far as size and ETag show."""
    if path.stat().st_size != there.size:
        return False
    md5 = MD5_ETAG.fullmatch(there.etag)
    if md5 is None:  # it was written in parts
        return _etag_of_parts(path, _PART) == there.etag.strip('"')
    return _file_digest(path, "md5") == md5[1]


def is_whole(path: Path, address: str, there: Object) -> bool:
    """Return whether a file that came in parts has the bytes of an object, by the best evidence.

    That is its ETag where it is made from MD5s, else a checksum of the whole object; where there is
    neither (encrypted by KMS, without a checksum) the size. Raises as `s3.read`, and Changed.
    """
    if path.stat().st_size != there.size:
        return False
    bucket, key = split(address)
    request = {"Bucket": bucket, "Key": key, "IfMatch": there.etag}
    answer = with_retries(address, lambda: client().head_object(**request, ChecksumMode="ENABLED"))
    plain = answer.get("ServerSideEncryption", "AES256") == "AES256"
    if plain and "SSECustomerAlgorithm" not in answer:
        return _has_etag(path, address, there)
    if answer.get("ChecksumType") == "FULL_OBJECT":  # not made of its parts'
        for name in ("SHA256", "SHA1", "CRC32"):
            if f"Checksum{name}" in answer:
                return _checksum(path, name) == str(answer[f"Checksum{name}"])
    return True


def _has_etag(path: Path, address: str, there: Object) -> bool:
    """Return whether a file of an object's size has its ETag, where its making is known."""
    etag = there.etag.strip('"')
    if not re.fullmatch(r"[0-9a-f]{32}-\d+", etag):
        return not MD5_ETAG.fullmatch(etag) or _file_digest(path, "md5") == etag
    count = int(etag.rpartition("-")[2])
    bucket, key = split(address)
    first = with_retries(
        address, lambda: client().head_object(Bucket=bucket, Key=key, PartNumber=1)
    )
    size = first["ContentLength"]
    # Not every server reports how large a part is: then the sizes that programs use are tried.
    certain = size > 0 and -(-there.size // size) == count
    sizes = [size] if certain else [n * 2**20 for n in _COMMON_PARTS]
    fitting = [n for n in sizes if -(-there.size // n) == count]
    return any(_etag_of_parts(path, n) == etag for n in fitting) or not certain


def _etag_of_parts(path: Path, size: int) -> str:
    """Return the ETag that S3 gives a file which was written in parts of `size` bytes."""
    digests = []
    with path.open("rb") as file:
        while part := file.read(size):
            digests.append(hashlib.md5(part, usedforsecurity=False).digest())
    whole = hashlib.md5(b"".join(digests), usedforsecurity=False).hexdigest()
    return f"{whole}-{len(digests)}"


def _checksum(path: Path, name: str) -> str:
    """Return a file's checksum as S3 writes it: base64 of its bytes, the highest first."""
    if name != "CRC32":
        return base64.b64encode(bytes.fromhex(_file_digest(path, name.lower()))).decode()
    found = 0
    with path.open("rb") as file:
        while part := file.read(_PART):
            found = zlib.crc32(part, found)
    return base64.b64encode(found.to_bytes(4, "big")).decode()


def _file_digest(path: Path, name: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, name).hexdigest()
