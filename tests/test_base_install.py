"""The base install: what works where only the packages that hangtag itself needs are installed.

Nothing is installed here. The processes cannot import what belongs to an extra, or to no one.
"""

import json
import os
import re
import subprocess
import sys
import tomllib
import urllib.request
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]

# Python imports `sitecustomize` when it starts, in worker processes too.
BLOCKER = """
import sys
from importlib.machinery import PathFinder

class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] not in {blocked}:
            return PathFinder.find_spec(name, path, target)

    find_distributions = PathFinder.find_distributions
    invalidate_caches = PathFinder.invalidate_caches

sys.meta_path[sys.meta_path.index(PathFinder)] = Finder
"""
# Commands in one process: prints their exit codes and what they wrote to standard error, as JSON.
RUNNER = """
import contextlib, io, json, sys
from hangtag.cli.app import main

found = []
for command in json.loads(sys.argv[1]):
    sys.argv = ["hangtag", *command.split()]
    said, code = io.StringIO(), 0
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        try:
            main()
        except SystemExit as exit:
            code = exit.code
    found.append((code, said.getvalue()))
print(json.dumps(found))
"""
# One after the other, in one folder.
STEPS = """
sample library --designs 160
pack library/designs.csv dataset
train dataset model
evaluate model dataset
compare model model dataset
audit model library/designs.csv --out audit.csv
tag model library/designs --out tags.jsonl
import folder library/designs --out again.jsonl
vocabulary suggest library/designs.csv
salvage dataset/training/train.rec salvaged.rec
index library/designs.csv index --model model
duplicates index --out duplicates.csv --page duplicates.html
search index red
""".strip().splitlines()
# What belongs to an extra says so.
REFUSED = {
    "train dataset network --epochs 1": "train",
    "tune dataset study": "train",
    "import folder library/designs --out designs.parquet": "parquet",
    "tag model library/designs --words --out words.jsonl": "ocr",
    "pack s3://bucket/designs.csv other": "aws",
    "sagemaker status": "aws",
}


def base_distributions() -> set[str]:
    """Return the names of the distributions that `pip install hangtag` installs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found: set[str] = set()
    waiting = [Requirement(text) for text in project["dependencies"]]
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        if name in found:
            continue
        found.add(name)
        try:
            needs = map(Requirement, requires(name) or ())
        except PackageNotFoundError:  # for another platform
            continue
        extras = ["", *wanted.extras]
        waiting += [
            need
            for need in needs
            if need.marker is None or any(need.marker.evaluate({"extra": one}) for one in extras)
        ]
    return found


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of processes that find the base install only."""
    base = base_distributions() | {"hangtag", "coverage"}
    blocked = {
        module
        for module, names in packages_distributions().items()
        if base.isdisjoint(map(canonicalize_name, names))
    }
    assert "pytest" in blocked
    assert not {"numpy", "onnxruntime", "onnx", "PIL"} & blocked
    folder = tmp_path_factory.mktemp("blocker")
    (folder / "sitecustomize.py").write_text(BLOCKER.replace("{blocked}", repr(sorted(blocked))))
    paths = [str(folder), str(ROOT), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


@pytest.fixture(scope="module")
def folder(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which every step was run."""
    folder = tmp_path_factory.mktemp("base")
    for step, (code, errors) in zip(STEPS, run(STEPS, environment, folder), strict=True):
        assert code == 0, f"hangtag {step}: {errors[-2000:]}"
    return folder


def run(
    commands: list[str], environment: dict[str, str], folder: Path
) -> list[tuple[int | str | None, str]]:
    """Return the exit code and the standard error of each command."""
    done = subprocess.run(
        [sys.executable, "-c", RUNNER, json.dumps(commands)],
        env=environment, cwd=folder, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return [(code, said) for code, said in json.loads(done.stdout)]


def test_a_blocked_package_is_as_if_it_were_not_installed(environment: dict[str, str]) -> None:
    code = "from importlib.util import find_spec; import numpy; assert find_spec('pytest') is None"
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)


def test_from_designs_to_tags(folder: Path) -> None:
    assert (folder / "model" / "report.html").read_text(encoding="utf-8").count("<svg") >= 2
    assert len((folder / "tags.jsonl").read_text(encoding="utf-8").splitlines()) == 160


def test_what_needs_an_extra_names_it(folder: Path, environment: dict[str, str]) -> None:
    found = run(list(REFUSED), environment, folder)
    for (command, extra), (code, errors) in zip(REFUSED.items(), found, strict=True):
        assert code == 1, command
        assert f"hangtag[{extra}]" in errors, command
        assert "Traceback" not in errors, command


@pytest.fixture
def address(folder: Path, environment: dict[str, str]) -> Iterator[str]:
    """The address of a server of the model."""
    command = [sys.executable, "-m", "hangtag", "serve", "model", "--port", "0"]
    with subprocess.Popen(
        command, env=environment, cwd=folder, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        said = ""
        for line in process.stderr:
            said += line
            if found := re.search(r"at (http://\S+)", line):
                break
        assert found, said
        yield found[1].rstrip("/")
        process.terminate()
        process.communicate(timeout=60)


def test_a_server_answers(folder: Path, address: str) -> None:
    design = next((folder / "library" / "designs").rglob("*.png")).read_bytes()
    request = urllib.request.Request(
        f"{address}/invocations", design, {"Content-Type": "image/png"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 200
