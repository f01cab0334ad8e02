"""Functions that the nodes of a cluster run for the tests."""

import os
import time


def length(data: bytes) -> int:
    """Return the length; the bytes `crash` end the process, `hang` never returns."""
    if data == b"crash":
        os._exit(11)
    if data == b"hang":
        time.sleep(1000)
    return len(data)


def large(data: bytes) -> bytes:
    """Return two megabytes."""
    return data[:1] * 2_000_000
