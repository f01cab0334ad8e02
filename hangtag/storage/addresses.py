"""`s3://` addresses, and the path of the local copy of each."""

import hashlib
import os
import re
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from hangtag.storage.files import LONGEST_NAME

S3: Final = "s3://"


def cache_folder() -> Path:
    """Return the folder of copies that can be fetched again: HANGTAG_CACHE, or the user's cache."""
    own, users = os.environ.get("HANGTAG_CACHE"), os.environ.get("XDG_CACHE_HOME")
    return Path(own).absolute() if own else Path(users or Path.home() / ".cache") / "hangtag"


def mirror_of(address: str) -> Path:
    """Return the path of the local copy of an `s3://` address; `address_of` is its inverse.

    Whatever characters a key holds, its copy is in the cache, and apart from all others.
    """
    top = cache_folder() / "s3"
    key = address.removeprefix(S3)
    return top.joinpath(*map(file_name, key.split("/"))) if key else top


def address_of(path: str) -> str | None:
    """Return the `s3://` address whose local copy has the absolute `path`, or None."""
    if f"{os.sep}s3{os.sep}" not in path:  # saves 500,000 designs the look-up of the environment
        return None
    mirrors = f"{cache_folder() / 's3'}{os.sep}"
    if not path.startswith(mirrors):
        return None
    return S3 + "/".join(map(key_segment, Path(path.removeprefix(mirrors)).parts))


_MARKED: Final = "%="  # prefix of a file name that stands for a different segment of a key
_UNFIT: Final = re.compile(
    r'[\0-\x1f<>:"|?*\\]|[. ]$|^(con|prn|aux|nul|com\d|lpt\d)(\.|$)', re.IGNORECASE
)
_NAMES: Final = re.compile(rf"(?<=/){_MARKED}[A-Za-z0-9_.~%-]*")
_segments: dict[str, str] = {}  # by the file names that stand for them in this process


def file_name(segment: str) -> str:
    """Return the name of the file, or folder, that stands for one segment of a key.

    The segment itself where it can be a name, so that people find their files. Else `%=` (also
    where the segment begins with `%=`) and the segment percent-encoded or, where that is too long
    for a file system, its SHA-256.
    """
    unfit = segment in ("", ".", "..") or "\0" in segment or segment.startswith(_MARKED)
    unfit = unfit or (os.name == "nt" and _UNFIT.search(segment) is not None)
    data = segment.encode("utf-8", "surrogatepass")
    if not unfit and len(data) <= LONGEST_NAME:
        return segment
    name = _MARKED + quote(data, safe="")
    if name.endswith("."):
        name = f"{name[:-1]}%2E"  # Windows drops a dot at the end
    if len(name) > LONGEST_NAME:
        name = f"{_MARKED}~{hashlib.sha256(data).hexdigest()}"
    _segments[name] = segment
    return name


def key_segment(name: str) -> str:
    """Return the segment of a key that `file_name` gave this name."""
    if not name.startswith(_MARKED):
        return name
    if name in _segments:
        return _segments[name]
    segment = unquote_to_bytes(name.removeprefix(_MARKED)).decode("utf-8", "surrogatepass")
    return segment if file_name(segment) == name else name


def with_addresses(text: str) -> str:
    """Return a text with addresses in place of the paths of their local copies."""
    copies = f"{mirror_of(S3)}{os.sep}"
    if copies not in text:
        return text
    return _NAMES.sub(lambda name: key_segment(name[0]), text.replace(copies, S3))
