"""Worker processes: where they start, what they inherit, and that none is left."""

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from hangtag.processes import Context, quick_context

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are forks on Linux only")


def is_forked() -> bool:
    return quick_context("hangtag.errors").get_start_method() == "forkserver"


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_workers_are_spawned_where_a_fork_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_forked()
    with monkeypatch.context() as patched:
        patched.setattr(tempfile, "tempdir", "/tmp/" + "long" * 20)
        assert isinstance(quick_context(), Context)
    with multiprocessing.get_context("fork").Pool(1) as pool:  # this process forked by others
        assert not pool.apply(is_forked)


def state_of_worker() -> tuple[str | None, set[signal.Signals], str]:
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    return os.environ.get("OPENBLAS_NUM_THREADS"), blocked, str(Path.cwd())


def test_a_worker_is_left_alone_by_ctrl_c_and_this_process_is_as_before(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    before = dict(os.environ), signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with quick_context("hangtag.errors").Pool(1) as pool:
        threads, blocked, folder = pool.apply(state_of_worker)
    assert (threads, folder) == ("1", str(tmp_path))
    assert signal.SIGINT in blocked
    assert (dict(os.environ), signal.pthread_sigmask(signal.SIG_BLOCK, ())) == before


def test_nothing_is_left_of_a_process_that_is_killed(tmp_path: Path) -> None:
    code = (
        "import time\n"
        "from hangtag.dataset.workers import map_designs\n"
        "for _ in map_designs(len, iter([__file__] * 99), workers=2):\n"
        "    print(flush=True)\n"
        "    time.sleep(60)\n"
    )
    (tmp_path / "code.py").write_text(code)
    with subprocess.Popen([sys.executable, tmp_path / "code.py"], stdout=subprocess.PIPE) as one:
        assert one.stdout is not None
        one.stdout.readline()
        started = psutil.Process(one.pid).children(recursive=True)
        assert len(started) >= 3  # a server and two workers
        one.kill()
    until = time.monotonic() + 30
    while any(process.is_running() and process.status() != "zombie" for process in started):
        assert time.monotonic() < until
        time.sleep(0.02)
