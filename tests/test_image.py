"""The Dockerfile's Python can do what the package asks of one."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# The python3 of each release, https://packages.debian.org/python3
DEBIAN = {"bookworm": (3, 11, 2), "trixie": (3, 13, 5)}
UNPACK = """
import io, sys, tarfile
from pathlib import Path
from hangtag.storage.archives import unpack
folder = Path(sys.argv[1])
with tarfile.open(folder / "model.tar.gz", "w:gz") as tar:
    member = tarfile.TarInfo("model.onnx")
    member.size = 4
    tar.addfile(member, io.BytesIO(b"onnx"))
unpack(folder / "model.tar.gz", folder / "model")
assert (folder / "model" / "model.onnx").read_bytes() == b"onnx"
"""


def version(text: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", text)[:3]))


def floor() -> tuple[int, ...]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found = re.fullmatch(r">=([\d.]+)", project["requires-python"])
    assert found, "one lower bound"
    return version(found[1])


def images() -> dict[str, tuple[int, ...]]:
    """Return the version of Python in every image that the Dockerfile starts from."""
    text = (ROOT / "Dockerfile").read_text()
    stages = set(re.findall(r"^FROM \S+ AS (\S+)", text, re.MULTILINE))
    found = {}
    for image in set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) - stages:
        name, _, tag = image.partition(":")
        found[image] = version(tag) if name == "python" else DEBIAN[tag.removesuffix("-slim")]
    return found


def interpreters(minor: int) -> dict[tuple[int, ...], str]:
    """Return the interpreters of this machine by version: on the path, and those of pyenv."""
    folders = [*map(Path, os.get_exec_path()), *Path.home().glob(".pyenv/versions/*/bin")]
    found = {}
    for path in {folder / f"python3.{minor}" for folder in folders}:
        if path.exists():
            said = subprocess.run([path, "--version"], capture_output=True, text=True)
            if said.returncode == 0 and said.stdout:
                found[version(said.stdout)] = str(path)
    return found


def test_the_floor_has_what_is_used() -> None:
    """tarfile's filters came with 3.11.4: an archive could not be unpacked before."""
    assert floor() >= (3, 11, 4)
    assert sys.version_info >= floor()


def test_the_images_python_is_new_enough() -> None:
    found = images()
    assert found
    for image, python in found.items():
        assert python >= floor(), image


@pytest.mark.parametrize("minor", range(11, 16))
def test_an_archive_is_unpacked_by_every_python_of_the_range(minor: int, tmp_path: Path) -> None:
    """Without anything installed. In those below the range, and only there, it cannot be."""
    found = interpreters(minor)
    if not found:
        pytest.skip(f"no Python 3.{minor} here")
    for number, path in found.items():
        folder = tmp_path / ".".join(map(str, number))
        folder.mkdir()
        done = subprocess.run(
            [path, "-W", "error", "-c", UNPACK, str(folder)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )
        assert (done.returncode == 0) == (number >= floor()), done.stderr
