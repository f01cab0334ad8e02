"""Archives: model.tar.gz unpacked, and checked to its last byte."""

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
    """Unpack a model.tar.gz into `folder`; `take` returns a member as it is to be, or None.

    Raises ModelError for a damaged archive, and leaves nothing of it. The tar ends before the gzip
    stream, whose checksum alone covers all bytes: so the stream is read to its end.
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
