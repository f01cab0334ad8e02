"""Runs a command and measures it as a user meets it: wall time, and the peak memory of the whole
process tree (proportional set size, so that shared libraries count once; Linux)."""

import ctypes
import os
import resource
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

ORPHANS = 20  # seconds that workers of an ended command may take to end
_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of Linux
LONGEST = 24 * 3600  # seconds, after which a command is ended


@dataclass(frozen=True)
class Measured:
    """How a command ran."""

    seconds: float
    peak_mb: float
    code: int
    out: str
    err: str


def run(command: list[str], every: float = 0.5) -> Measured:
    """Run a command to its end, sampling its memory every so many seconds."""
    start = time.monotonic()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    ) as process:
        peak = [0.0]
        watcher = threading.Thread(target=_watch, args=(process, peak, every), daemon=True)
        watcher.start()
        try:
            out, err = process.communicate(timeout=LONGEST)
        finally:
            process.kill()
        watcher.join()
    return Measured(time.monotonic() - start, peak[0], process.returncode, out, err)


def environment() -> dict[str, str]:
    """Return the environment of a command: Python keeps compiled modules, as it does for users.

    Without them each start of hangtag takes 0.3 seconds of a core more, and other programs, whose
    modules came compiled, do not.
    """
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def memory_mb(pid: int) -> float:
    """Return the memory of a process and its descendants at this moment."""
    return sum(map(_pss_kb, _tree(pid))) / 1024


def adopt_orphans() -> None:
    """Let what ended commands leave running become children of this process (Linux).

    Workers are forks of a process that outlives the command by a moment: without this, what they
    took would be counted by nobody.
    """
    if ctypes.CDLL(None, use_errno=True).prctl(_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def core_seconds() -> float:
    """Return the seconds of a core that ended child processes took, with all of their workers.

    Waits for those that `adopt_orphans` has made children, when no command runs.
    """
    until = time.monotonic() + ORPHANS
    while time.monotonic() < until:
        try:
            if not os.waitpid(-1, os.WNOHANG)[0]:
                time.sleep(0.01)
        except ChildProcessError:
            break
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _watch(process: subprocess.Popen[str], peak: list[float], every: float) -> None:
    while process.poll() is None:
        peak[0] = max(peak[0], memory_mb(process.pid))
        time.sleep(every)


def _tree(pid: int) -> list[int]:
    found = [pid]
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += _tree(int(child))
    except OSError:  # it ended while we looked
        pass
    return found


def _pss_kb(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    except OSError:
        pass
    return 0
