"""Whole files from S3, in parts, many at once; what a killed run had of a file is not lost."""

import hashlib
import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Final

from hangtag.aws import s3
from hangtag.console import track
from hangtag.errors import StorageError

PART_BYTES: Final = 16 * 2**20
THREADS: Final = 16


class Download:
    """One object on its way into a file: which parts are there, which are missing."""

    def __init__(self, address: str, found: s3.Object, path: Path) -> None:
        """`found` is the object as listed; only that version of it is fetched."""
        self.address, self.found, self.path = address, found, path
        version = hashlib.sha256(found.etag.encode()).hexdigest()[:16]
        self._part = path.with_name(f".{path.name}.{version}.part")
        self._journal = path.with_name(f".{path.name}.{version}.parts")
        self._lock = threading.Lock()
        done = self._journal.read_text().split("\n")[:-1] if self._journal.exists() else []
        self.missing = set(range(-(-max(found.size, 1) // PART_BYTES))) - set(map(int, done))

    def fetch(self, number: int) -> bool:
        """Fetch a part; return whether it was the last one missing. Raises as `s3.read`."""
        data = s3.told(self.address, lambda: self._range(number))
        with self._lock:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self._part.open("r+b" if self._part.exists() else "w+b") as file:
                file.seek(number * PART_BYTES)
                file.write(data)
            with self._journal.open("a") as journal:  # after the part: a kill between repeats it
                journal.write(f"{number}\n")
            self.missing.discard(number)
            return not self.missing

    def _range(self, number: int) -> bytes:
        bucket, key = s3.split(self.address)
        first = number * PART_BYTES
        last = min(first + PART_BYTES, self.found.size) - 1
        span = {"Range": f"bytes={first}-{last}"} if self.found.size else {}
        answer = s3.client().get_object(Bucket=bucket, Key=key, IfMatch=self.found.etag, **span)
        with answer["Body"] as body:
            data: bytes = body.read()
        s3.check(data, answer)
        return data

    def finish(self) -> None:
        """Put the file into its place. Raises ConnectionError where its bytes do not fit."""
        whole = self._part.stat().st_size == self.found.size
        self._journal.unlink()
        if not whole:
            self._part.unlink()
            raise ConnectionError(f"{self.address}: damaged on its way; fetch it again")
        with self._part.open("rb+") as file:
            os.fsync(file.fileno())
        for stale in self.path.parent.glob(f".{self.path.name}.*.part*"):
            if stale != self._part:
                stale.unlink(missing_ok=True)  # of another version
        self._part.replace(self.path)


def download(
    wanted: Iterable[tuple[str, s3.Object, Path]], arrived: Callable[[s3.Object, Path], None]
) -> None:
    """Fetch objects into files, all parts side by side; `arrived` is told of each whole file.

    Raises as `s3.read`; what came until then is kept, and the same call goes on from there.
    """
    jobs = [Download(*one) for one in wanted]
    parts = [(job, number) for job in jobs for number in sorted(job.missing)]
    for job in jobs:
        if not job.missing:  # a killed run had everything but the last step
            job.finish()
            arrived(job.found, job.path)
    with ThreadPoolExecutor(THREADS) as pool:
        running = {pool.submit(job.fetch, number): job for job, number in parts}
        try:
            for future in track(as_completed(running), "fetching", total=len(parts)):
                job = running[future]
                if future.result():
                    job.finish()
                    arrived(job.found, job.path)
        except FileNotFoundError as cause:
            pool.shutdown(cancel_futures=True)
            raise StorageError(f"{cause}; it was listed a moment ago, try again") from cause
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
