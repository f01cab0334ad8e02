"""Every benchmark bounds what it starts and ends it; none is run here."""

import ast
import importlib.util
import json
import os
import re
import signal
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
SCRIPTS = sorted(  # without virtual environments there
    path
    for path in FOLDER.rglob("*.py")
    if not any(part.startswith(".") for part in path.relative_to(FOLDER).parts)
)
BOUNDED = ("run", "check_output", "check_call", "call", "communicate", "urlopen")


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
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


def test_the_readme_says_what_was_measured() -> None:
    lines = (FOLDER / "quality" / "results.jsonl").read_text(encoding="utf-8").splitlines()
    found = [json.loads(line) for line in lines]
    readme = (FOLDER.parent / "README.md").read_text(encoding="utf-8")
    table = next(line for line in readme.splitlines() if line.startswith("| **hangtag** |"))
    written = [float(one) for one in re.findall(r"\*\*(0\.\d+)\*\*", table)]
    measured = [
        statistics.mean(
            one["macro_map"] for one in found if (one["row"], one["set"]) == ("hangtag", name)
        )
        for name in ("openclipart", "emoji", "icons")
    ]
    assert written == pytest.approx(measured, abs=0.00501)


@pytest.fixture(scope="module")
def servers() -> ModuleType:
    spec = importlib.util.spec_from_file_location("server", FOLDER / "serving" / "server.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def is_alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until(state: Callable[[], bool]) -> None:
    limit = time.monotonic() + 60
    while not state():
        assert time.monotonic() < limit
        time.sleep(0.02)


DEAF = "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
CHILD = DEAF + "import os; open(sys.argv[1], 'w').write(f'{os.getpid()}.'); time.sleep(600)"
PARENT = DEAF + "import subprocess; subprocess.run([sys.executable, '-c', *sys.argv[1:]])"


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows ends processes otherwise")
def test_a_server_that_does_not_stop_is_ended_with_what_it_started(
    servers: ModuleType, tmp_path: Path
) -> None:
    note = tmp_path / "child"
    with servers.started([sys.executable, "-c", PARENT, CHILD, str(note)], 0.5) as process:
        wait_until(lambda: note.exists() and note.read_text().endswith("."))
        child = int(note.read_text()[:-1])
        assert is_alive(child)
    assert process.returncode == -signal.SIGKILL
    wait_until(lambda: not is_alive(child))
