"""The wheel and the sdist hold every file of the package, its licence and its notice."""

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from configparser import ConfigParser
from email import message_from_bytes
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE_FILES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "hangtag").rglob("*")
    if path.is_file() and "__pycache__" not in path.parts
)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build both without isolation: nothing is downloaded."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--directory", folder],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(next(built.glob("*.whl")))


def test_the_wheel_holds_the_whole_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert names == set(PACKAGE_FILES)
    # Weights, templates and the page lie beside the code that reads them.
    assert {Path(name).suffix for name in names} >= {".onnx", ".j2", ".html", ".js", ".css"}
    assert "hangtag/py.typed" in names


def test_the_wheel_names_its_licence_and_carries_the_notice(wheel: zipfile.ZipFile) -> None:
    folder = next(name.split("/")[0] for name in wheel.namelist() if ".dist-info/" in name)
    about = message_from_bytes(wheel.read(f"{folder}/METADATA"))
    assert about["License-Expression"] == "Apache-2.0"
    for name in ("LICENSE", "NOTICE"):
        assert wheel.read(f"{folder}/licenses/{name}") == (ROOT / name).read_bytes()


def test_the_command_is_in_the_wheel(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    points = next(name for name in names if name.endswith("/entry_points.txt"))
    parser = ConfigParser()
    parser.read_string(wheel.read(points).decode())
    module = parser["console_scripts"]["hangtag"].partition(":")[0].replace(".", "/")
    assert {f"{module}.py", f"{module}/__init__.py"} & set(names)


@pytest.mark.slow
def test_the_demo_runs_from_the_wheel_and_resumes(built: Path, tmp_path: Path) -> None:
    """As `uvx hangtag demo` and `pipx run hangtag demo` run it, with what this environment has.

    The whole loop; then twice more, where nothing is left to do.
    """
    wheel = next(built.glob("*.whl"))
    installed = unpacked(wheel, tmp_path / "installed")
    code = "import sys, hangtag.cli.app as a; print(a.__file__); a.run(sys.argv[1:])"

    def demo(*options: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code, "demo", "--designs", "240", *options],
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(installed)},
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        module, _, said = done.stdout.partition("\n")
        assert module.startswith(str(installed))
        return said

    found = [json.loads(demo("--json")) for _ in range(2)]
    assert found[0]["macro_map"] == found[1]["macro_map"] > 0.2
    assert (tmp_path / found[0]["report"]).is_file()
    assert len((tmp_path / found[0]["tags"]).read_text().splitlines()) == 240
    assert "next: hangtag serve" in demo()


def unpacked(wheel: Path, folder: Path) -> Path:
    """Install a pure wheel without its requirements."""
    zipfile.ZipFile(wheel).extractall(folder)
    return folder


def test_the_sdist_can_build_and_test_itself(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    needed = {"pyproject.toml", "README.md", "LICENSE", "NOTICE", "CONTRIBUTING.md", "Makefile"}
    assert names >= needed | set(PACKAGE_FILES)
    assert "tests/conftest.py" in names
    assert "docs/index.md" in names
    assert not [name for name in names if "__pycache__" in name or name.startswith(".venv")]
