"""Whole files from S3, in parts, many at once; the parts that a killed run fetched are kept."""

import hashlib
import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path
from typing import Final

from hangtag.console import track, warn
from hangtag.errors import StorageError
from hangtag.storage import s3
from hangtag.storage.s3_checksums import is_whole
from hangtag.storage.s3_requests import Changed, check_body, client, whole_body, with_retries

PART_BYTES: Final = 16 * 2**20
THREADS: Final = 16
_ROUNDS: Final = 3  # for objects that change, or arrive damaged, again and again


class Download:
    """One object being fetched into a file: which parts are there, which are missing."""

    def __init__(self, address: str, found: s3.Object, path: Path) -> None:
        """`found` is the object as listed; only that version of it is fetched."""
        self.address, self.found, self.path = address, found, path
        # Hashes, as the name of the file may already be as long as a name can be.
        self._mark = f".{_short(path.name)}"
        version = _short(f"{found.etag} {found.size}")
        self._part = path.with_name(f"{self._mark}.{version}.part")
        self._journal = path.with_name(f"{self._mark}.{version}.parts")
        self._lock = threading.Lock()
        everything = set(range(-(-max(found.size, 1) // PART_BYTES)))
        self.missing = everything - self._done()
        # Whether the bytes were compared with the ETag when they arrived.
        self._checked = len(everything) == len(self.missing) == 1

    def _done(self) -> set[int]:
        with suppress(OSError, ValueError):
            # The run was killed while it wrote a line that has no end.
            lines = self._journal.read_text().split("\n")[:-1]
            return set(map(int, lines)) if self._part.exists() else set()
        return set()

    def fetch(self, number: int) -> bool:
        """Fetch a part; return whether it was the last one missing. Raises as `s3.read`."""
        data = with_retries(self.address, lambda: self._range(number))
        with self._lock:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self._part.open("r+b" if self._part.exists() else "w+b") as file:
                file.seek(number * PART_BYTES)
                file.write(data)
            with self._journal.open(
                "a"
            ) as journal:  # after the part: if killed between, the part is fetched again
                journal.write(f"{number}\n")
            self.missing.discard(number)
            return not self.missing

    def _range(self, number: int) -> bytes:
        bucket, key = s3.split(self.address)
        first = number * PART_BYTES
        last = min(first + PART_BYTES, self.found.size) - 1
        span = {"Range": f"bytes={first}-{last}"} if self.found.size else {}
        answer = client().get_object(Bucket=bucket, Key=key, IfMatch=self.found.etag, **span)
        with answer["Body"] as body:
            data = whole_body(body)
        check_body(data, answer)
        if len(data) != last - first + 1:
            raise Changed(f"{self.address}: changed while it was fetched")
        return data

    def finish(self) -> None:
        """Rename the finished file. Raises Changed where its bytes are not the object's, and as
        `s3.read`."""
        if not self._checked and not is_whole(self._part, self.address, self.found):
            raise Changed(f"{self.address}: damaged in transfer")
        with self._part.open("rb+") as file:
            os.fsync(file.fileno())
        self._journal.unlink()
        self._part.replace(self.path)
        self.discard()

    def discard(self) -> None:
        """Remove the object's parts, of this version and of others."""
        for stale in self.path.parent.glob(f"{self._mark}.*.part*"):
            stale.unlink(missing_ok=True)


def _short(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def download(
    wanted: Iterable[tuple[str, s3.Object, Path]], arrived: Callable[[s3.Object, Path], None]
) -> None:
    """Fetch objects into files, all parts in parallel; call `arrived` with each complete file.

    An object that changes meanwhile, or whose parts do not fit it, is fetched from its beginning.
    Raises as `s3.read`; the parts fetched until then are kept, and the same call resumes.
    """
    jobs = [Download(*one) for one in wanted]
    for _ in range(_ROUNDS):
        jobs = _fetch(jobs, arrived)
        if not jobs:
            return
        warn(
            f"{len(jobs)} objects changed or arrived damaged and are fetched again, such as"
            f" {jobs[0].address}"
        )
    raise StorageError(
        f"{jobs[0].address} changes, or arrives damaged, whenever it is fetched; try again when "
        "nothing writes to it"
    )


def _fetch(jobs: list[Download], arrived: Callable[[s3.Object, Path], None]) -> list[Download]:
    """Fetch the missing parts; return the downloads to start again."""
    changed: dict[str, Download] = {}

    def finish_after(job: Download, step: Callable[[], bool]) -> None:
        """Do a step and, where it was a file's last one, finish the file."""
        if job.address in changed:
            return
        try:
            if step():
                job.finish()
                arrived(job.found, job.path)
        except Changed:
            changed[job.address] = _restarted(job)

    for job in jobs:
        if not job.missing:  # only the last step was missing when a run was killed
            finish_after(job, lambda: True)
    parts = [(job, number) for job in jobs for number in sorted(job.missing)]
    with ThreadPoolExecutor(THREADS) as pool:
        running = {pool.submit(job.fetch, number): job for job, number in parts}
        try:
            for future in track(as_completed(running), "fetching", total=len(parts)):
                finish_after(running[future], future.result)
        except FileNotFoundError as cause:
            pool.shutdown(cancel_futures=True)
            raise StorageError(f"{cause}; it was listed a moment ago; try again") from cause
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return list(changed.values())


def _restarted(job: Download) -> Download:
    """Return a new download of an object as it is now. Raises StorageError for a removed one."""
    job.discard()
    found = s3.head(job.address)
    if found is None:
        raise StorageError(f"{job.address}: removed while it was fetched")
    return Download(job.address, found, job.path)
