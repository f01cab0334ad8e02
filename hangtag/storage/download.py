"""Whole files from S3, in parts, many at once; what a killed run had of a file is not lost."""

import hashlib
import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path
from typing import Final

from hangtag.console import note, track
from hangtag.errors import StorageError
from hangtag.storage import s3

PART_BYTES: Final = 16 * 2**20
THREADS: Final = 16
_ROUNDS: Final = 3  # objects that change, or come damaged, again and again


class Download:
    """One object on its way into a file: which parts are there, which are missing."""

    def __init__(self, address: str, found: s3.Object, path: Path) -> None:
        """`found` is the object as listed; only that version of it is fetched."""
        self.address, self.found, self.path = address, found, path
        # Hashes, as the name of the file alone may be as long as a name can be.
        self._mark = f".{_short(path.name)}"
        version = _short(f"{found.etag} {found.size}")
        self._part = path.with_name(f"{self._mark}.{version}.part")
        self._journal = path.with_name(f"{self._mark}.{version}.parts")
        self._lock = threading.Lock()
        everything = set(range(-(-max(found.size, 1) // PART_BYTES)))
        self.missing = everything - self._done()
        # Whether the bytes were compared with the ETag when they came.
        self._checked = len(everything) == len(self.missing) == 1

    def _done(self) -> set[int]:
        with suppress(OSError, ValueError):
            # A line without its end was being written when the run was killed.
            lines = self._journal.read_text().split("\n")[:-1]
            return set(map(int, lines)) if self._part.exists() else set()
        return set()

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
            data = s3.whole_body(body)
        s3.check(data, answer)
        if len(data) != last - first + 1:
            raise s3.Changed(f"{self.address}: changed while it was fetched")
        return data

    def finish(self) -> None:
        """Put the file into its place. Raises `s3.Changed` where its bytes are not the object's,
        and as `s3.read`."""
        if not self._checked and not s3.is_whole(self._part, self.address, self.found):
            raise s3.Changed(f"{self.address}: damaged on its way")
        with self._part.open("rb+") as file:
            os.fsync(file.fileno())
        self._journal.unlink()
        self._part.replace(self.path)
        self.discard()

    def discard(self) -> None:
        """Remove what there is of the object's parts, of this version and of others."""
        for stale in self.path.parent.glob(f"{self._mark}.*.part*"):
            stale.unlink(missing_ok=True)


def _short(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def download(
    wanted: Iterable[tuple[str, s3.Object, Path]], arrived: Callable[[s3.Object, Path], None]
) -> None:
    """Fetch objects into files, all parts side by side; `arrived` is told of each whole file.

    One that changes meanwhile, or whose parts do not make it up, is fetched from its beginning.
    Raises as `s3.read`; what came until then is kept, and the same call resumes.
    """
    jobs = [Download(*one) for one in wanted]
    for _ in range(_ROUNDS):
        jobs = _fetch(jobs, arrived)
        if not jobs:
            return
        note(f"{len(jobs)} objects changed or came damaged, the first {jobs[0].address}: again")
    raise StorageError(
        f"{jobs[0].address} changes, or comes damaged, whenever it is fetched; try again when "
        "nobody writes it"
    )


def _fetch(jobs: list[Download], arrived: Callable[[s3.Object, Path], None]) -> list[Download]:
    """Fetch what is missing; return those to fetch anew."""
    again: dict[str, Download] = {}

    def ended(job: Download, step: Callable[[], bool]) -> None:
        """Do a step and, where it was a file's last one, finish the file."""
        if job.address in again:
            return
        try:
            if step():
                job.finish()
                arrived(job.found, job.path)
        except s3.Changed:
            again[job.address] = _anew(job)

    for job in jobs:
        if not job.missing:  # a killed run had everything but the last step
            ended(job, lambda: True)
    parts = [(job, number) for job in jobs for number in sorted(job.missing)]
    with ThreadPoolExecutor(THREADS) as pool:
        running = {pool.submit(job.fetch, number): job for job, number in parts}
        try:
            for future in track(as_completed(running), "fetching", total=len(parts)):
                ended(running[future], future.result)
        except FileNotFoundError as cause:
            pool.shutdown(cancel_futures=True)
            raise StorageError(f"{cause}; it was listed a moment ago, try again") from cause
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return list(again.values())


def _anew(job: Download) -> Download:
    """Return the download of an object as it is now. Raises FileNotFoundError for one gone."""
    job.discard()
    found = s3.head(job.address)
    if found is None:
        raise StorageError(f"{job.address}: removed while it was fetched")
    return Download(job.address, found, job.path)
