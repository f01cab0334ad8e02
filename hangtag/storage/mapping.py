"""Memory-mapped files whose pages do not stay in the memory of the process."""

import mmap
from typing import Any


def release(mapped: Any) -> None:
    """Give back the pages that were read of a mapped file; they are read again when touched.

    `mapped` is the map, or an array of all of it; anything else is left alone. The system keeps the
    pages as long as it has room for them, but no longer counts them as this process's. Windows,
    which takes them back by itself, has no such call.
    """
    found = mapped if isinstance(mapped, mmap.mmap) else getattr(mapped, "base", None)
    if isinstance(found, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        found.madvise(mmap.MADV_DONTNEED)
