"""model.tar.gz."""

import gzip
import shutil
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

from hangtag.errors import ModelError


def unpack(
    archive: Path,
    folder: Path,
    take: Callable[[tarfile.TarInfo], tarfile.TarInfo | None] = lambda member: member,
) -> None:
    """Unpack a model.tar.gz into `folder`; `take` says as what a member is taken, if at all.

    Raises ModelError for a damaged archive, of which nothing is left. A tar ends before its gzip
    does, whose checksum alone vouches for the bytes: so that is read to its end.
    """
    try:
        with gzip.open(archive) as file:
            with tarfile.open(fileobj=file, mode="r|") as tar:
                for member in tar:
                    if (taken := take(member)) is not None:
                        tar.extract(taken, folder, filter="data")
            while file.read(2**20):
                pass
    except (tarfile.TarError, zlib.error, EOFError, OSError) as cause:
        shutil.rmtree(folder, ignore_errors=True)
        raise ModelError(f"{archive} cannot be unpacked: {cause}") from cause
