"""Every benchmark bounds what it starts and ends it; none is run here."""

import ast
import importlib.util
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
BOUNDED = ("run", "check_output", "check_call", "call", "communicate", "urlopen")


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.py")), ids=lambda path: path.stem)
def test_nothing_is_waited_for_without_end(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        name, owner = node.func.attr, ast.unparse(node.func.value)
        of_process = owner == "subprocess" or name in ("communicate", "urlopen")
        if name in BOUNDED and of_process:
            assert any(one.arg == "timeout" for one in node.keywords), f"line {node.lineno}"
        if name == "wait" and owner != "asyncio":
            assert node.args or node.keywords, f"line {node.lineno}"


@pytest.fixture(scope="module")
def server() -> ModuleType:
    spec = importlib.util.spec_from_file_location("server", FOLDER / "serving" / "server.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows ends processes otherwise")
def test_a_server_that_does_not_stop_is_ended_with_what_it_started(server: ModuleType) -> None:
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); "
    child = f"[sys.executable, '-c', {deaf + 'time.sleep(600)'!r}]"
    parent = f"import subprocess, sys; {deaf}print(subprocess.Popen({child}).pid, flush=True); "
    began, found = time.monotonic(), Path()
    with server.started([sys.executable, "-c", parent + "time.sleep(600)"], 0.5) as process:
        while not found.name:
            time.sleep(0.1)
            ids = subprocess.run(
                ["pgrep", "-P", str(process.pid)], capture_output=True, text=True, timeout=10
            ).stdout.split()
            found = Path("/proc") / ids[0] if ids else found
        time.sleep(0.5)
    assert process.returncode == -signal.SIGKILL
    limit = time.monotonic() + 10
    while found.exists() and time.monotonic() < limit:
        time.sleep(0.05)
    assert not found.exists()
    assert time.monotonic() - began < 60
