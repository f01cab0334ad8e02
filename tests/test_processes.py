"""Worker processes: where they start, what they inherit, and that none is left."""

import multiprocessing
import os
import platform
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


def output_of(code: str) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no settings")
def test_freed_memory_is_used_again() -> None:
    code = (
        "import resource\n"
        "from hangtag.processes import keep_freed_memory\n"
        "keep_freed_memory()\n"
        "def faults():\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "for _ in range(4):\n"
        "    before, pixels = faults(), [b'x' * 20_000_000 for _ in range(2)]\n"
        "    del pixels\n"
        "print(faults() - before)\n"
    )
    assert int(output_of(code)) < 1000  # of 9,766 pages


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no settings")
def test_freed_memory_of_threads_is_given_back() -> None:
    code = (
        "import re\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from pathlib import Path\n"
        "from threading import Barrier\n"
        "from hangtag.processes import give_back_freed_memory\n"
        "give_back_freed_memory()\n"
        "together = Barrier(4)\n"
        "def work(_):\n"
        "    together.wait()\n"
        "    for _ in range(4):\n"
        "        bytearray(b'x') * 12_000_000\n"
        "def resident():\n"
        "    status = Path('/proc/self/status').read_text()\n"
        "    return int(re.search(r'VmRSS:\\s+(\\d+)', status)[1])\n"
        "before = resident()\n"
        "with ThreadPoolExecutor(4) as pool:\n"
        "    list(pool.map(work, range(4)))\n"
        "    print(resident() - before)\n"
    )
    assert int(output_of(code)) < 10_000  # kB; with glibc's defaults 47,000


def test_what_workers_are_forks_of_can_be_started_before() -> None:
    code = (
        "from multiprocessing.forkserver import _forkserver as server\n"
        "from hangtag.processes import begin_workers\n"
        "begin_workers()\n"
        "started = server._forkserver_pid\n"
        "from hangtag.dataset.workers import map_designs\n"
        "import hangtag.errors as some\n"
        "print(started > 0, *map_designs(bool, iter([some.__file__])))\n"
        "print(server._forkserver_pid == started)\n"
    )
    assert output_of(code).split() == ["True", "True", "True"]
