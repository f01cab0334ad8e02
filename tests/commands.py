"""`hangtag` commands in processes of their own, forked from one that has imported what they need.

Importing takes longer than most of what tests ask of a command. Where there is no fork, each is
started from the beginning.
"""

import atexit
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

# For every line of its standard input a fork, which forks the command, answers with its process id
# and notes its exit code.
_SERVER = """
import gc, importlib, json, os, signal, sys

for name in sys.argv[1:]:
    importlib.import_module(name)
assert "onnxruntime" not in sys.modules
gc.collect()
gc.freeze()  # else every fork copies the pages of all modules' objects: two thirds of its time
answers = os.fdopen(os.dup(1), "w")
keepers = set()
for line in sys.stdin:
    asked = json.loads(line)
    keepers -= {one for one in keepers if os.waitpid(one, os.WNOHANG)[0]}
    if not (keeper := os.fork()):
        break
    keepers.add(keeper)
else:
    sys.exit()
if command := os.fork():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    print(command, file=answers, flush=True)
    code = os.waitstatus_to_exitcode(os.waitpid(command, 0)[1])
    with open(asked["code"] + ".part", "w") as file:
        file.write(str(code))
    os.rename(asked["code"] + ".part", asked["code"])
    os._exit(0)
answers.close()
os.chdir(asked["folder"])
os.environ.clear()
os.environ.update(asked["environment"])
for number, name in enumerate((os.devnull, asked["out"], asked["err"])):
    os.dup2(os.open(name, os.O_RDWR | os.O_APPEND), number)
sys.argv = ["hangtag", *asked["arguments"]]
exec(asked["script"], {"__name__": "__main__"})
"""
MAIN = "from hangtag.cli.app import main; main()"
# No ONNX Runtime: it has a thread as soon as it is imported, for which a fork would wait in vain.
QUICK = (
    "fastapi", "fastapi_offline", "hangtag.cli.app", "hangtag.dataset.shards", "httptools", "onnx",
    "uvicorn",
)  # fmt: skip
# What trains a whole network; six seconds of a core.
TORCH = (
    *QUICK, "accelerate", "matplotlib.figure", "onnxscript", "optuna", "safetensors.torch",
    "sqlalchemy.orm", "tests.traced_graphs", "timm.optim", "torch",
)  # fmt: skip
ROOT = Path(__file__).parents[1]


@cache
def _server(imported: tuple[str, ...]) -> subprocess.Popen[str]:
    server = subprocess.Popen(
        [sys.executable, "-c", _SERVER, *imported],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    atexit.register(_end, server)
    return server


def _end(server: subprocess.Popen[str]) -> None:
    """Let the input of a server end, and so itself, unless a command still runs."""
    with suppress(subprocess.TimeoutExpired):
        server.communicate(timeout=10)


@cache
def _folder() -> str:
    folder = tempfile.mkdtemp(prefix="hangtag-tests-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


class Command:
    """A command that runs, with what tests need of `subprocess.Popen`."""

    def __init__(
        self,
        *arguments: object,
        environment: dict[str, str] | None = None,
        imported: tuple[str, ...] = QUICK,
        script: str = MAIN,
        log: Path | None = None,
    ) -> None:
        """Start it in this folder; `script` is Python, `log` a file for all that it writes."""
        folder = Path(tempfile.mkdtemp(dir=_folder()))
        self.out, self.err = (log, log) if log else (folder / "out", folder / "err")
        self._code = folder / "code"
        self.out.touch()
        self.err.touch()
        self._words, self._script = list(map(str, arguments)), script
        self._environment = dict(os.environ) if environment is None else environment
        self._code_found: int | None = None
        self._started = None if hasattr(os, "fork") else self._from_the_beginning()
        self.pid = self._started.pid if self._started else self._forked(imported)

    def _forked(self, imported: tuple[str, ...]) -> int:
        asked = {"arguments": self._words, "folder": str(Path.cwd()), "code": str(self._code),
                 "environment": self._environment, "out": str(self.out),
                 "err": str(self.err), "script": self._script}  # fmt: skip
        server = _server(imported)
        assert server.stdin is not None
        assert server.stdout is not None
        print(json.dumps(asked), file=server.stdin, flush=True)
        return int(server.stdout.readline())

    def _from_the_beginning(self) -> subprocess.Popen[bytes]:
        with self.out.open("ab") as out, self.err.open("ab") as err:
            command = [sys.executable, "-c", self._script, *self._words]
            return subprocess.Popen(command, stdout=out, stderr=err, env=self._environment)

    def poll(self) -> int | None:
        if self._started:
            return self._started.poll()
        if self._code_found is None and self._code.exists():
            self._code_found = int(self._code.read_text())
        return self._code_found

    def wait(self, timeout: float = 600) -> int:
        until = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > until:
                raise subprocess.TimeoutExpired(self._words, timeout)
            time.sleep(0.005)
        return code

    def communicate(self, timeout: float = 600) -> tuple[str, str]:
        """Wait for the end; return what was written to standard output and standard error."""
        self.wait(timeout)
        return self.out.read_text(), self.err.read_text()

    @property
    def returncode(self) -> int | None:
        return self.poll()

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def hangtag(*arguments: object, check: bool = False) -> subprocess.CompletedProcess[str]:
    """Run a command in this folder and environment; it must end well where `check` says so."""
    command = Command(*arguments)
    said, code = command.communicate(), command.wait()
    assert code == 0 or not check, said
    return subprocess.CompletedProcess(list(map(str, arguments)), code, *said)
