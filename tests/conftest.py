"""What all tests share: a small library of real files, a model trained on it, and the two tiers.

Quick tests are `-m "not slow"`. A test is slow if it asks for a fixture that trains, serves or
opens a browser, if its module needs torch, or if it is marked so because it starts processes.
"""

import ast
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest
from filelock import FileLock
from PIL import Image, ImageDraw

from hangtag.cli.terminal import shown
from hangtag.dataset.config import PackConfig
from hangtag.dataset.pack import pack
from hangtag.library.catalog import Catalog, Design
from tests import traced_graphs

# The wait of OpenMP's idle threads burns the cores that the tests' own processes need.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
if "PYTEST_XDIST_WORKER" in os.environ:  # a core for each of the tests that run side by side
    os.environ.setdefault("OMP_NUM_THREADS", "1")
# No test may reach out; a missing hub is then told at once and not after half a minute of retries.
os.environ["HF_HUB_OFFLINE"] = "1"

SLOW_FIXTURES = {"browser", "built", "headed", "moto", "postgres", "serve", "server", "work"}
PACKAGE = Path(__file__).parents[1]

COLOURS = {"red": "#d02030", "green": "#20a040", "blue": "#2040d0", "black": "#000000"}
SHAPES = ("disc", "square", "bar", "ring", "cross")


def draw(shape: str, colour: str, size: int, turn: int) -> Image.Image:
    """One shape on full transparency, turned a little so that no two drawings are doubles."""
    image = Image.new("RGBA", (size, size))
    pen = ImageDraw.Draw(image)
    low, high, middle = size // 5, size * 4 // 5, size // 2
    if shape == "disc":
        pen.ellipse((low, low, high, high), colour)
    elif shape == "square":
        pen.rectangle((low, low, high, high), colour)
    elif shape == "bar":
        pen.rectangle((low, middle - size // 12, high, middle + size // 12), colour)
    elif shape == "ring":
        pen.ellipse((low, low, high, high), outline=colour, width=max(2, size // 10))
    else:
        pen.rectangle((low, middle - size // 14, high, middle + size // 14), colour)
        pen.rectangle((middle - size // 14, low, middle + size // 14, high), colour)
    mark = turn * size // 40
    pen.rectangle((mark, 0, mark + size // 14, size // 14 + turn % 5), colour)
    return image.rotate(turn * 3, resample=Image.Resampling.BICUBIC)


@cache
def imported(path: Path) -> set[str]:
    """Return the names of the modules that a file imports at its top."""
    names: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module or "", *(f"{node.module}.{one.name}" for one in node.names)}
    return names


@cache
def needs_torch(path: Path) -> bool:
    """Return whether a file imports torch, or a module of hangtag that does."""
    names = imported(path)
    files = [(PACKAGE / name.replace(".", "/")).with_suffix(".py") for name in names]
    own = [file for file in files if file.is_file() and "tests" not in file.parts]
    return "torch" in names or any(map(needs_torch, own))


@cache
def foreign(path: Path) -> set[str]:
    """Return the packages that a test module imports at its top, torch also through hangtag."""
    found = {name.split(".")[0] for name in imported(path)} - {"hangtag", "tests"}
    return found | {"torch"} if needs_torch(path) else found


def is_quick(config: pytest.Config) -> bool:
    return str(config.getoption("markexpr")) == "not slow"


def missing(path: Path) -> set[str]:
    """Return the packages that a test module needs and that are not installed."""
    return {name for name in foreign(path) if find_spec(name) is None}


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out modules that need torch from the quick tests, others where an extra is missing."""
    if not re.fullmatch(r"test_.*\.py", collection_path.name):
        return None
    quick = is_quick(config) and "torch" in foreign(collection_path)
    return True if quick or missing(collection_path) else None


def pytest_report_header() -> list[str]:
    """Name what is left out because something is not installed."""
    folder = Path(__file__).parent
    names = {path.relative_to(folder): missing(path) for path in sorted(folder.rglob("test_*.py"))}
    return [
        f"left out: tests/{name.as_posix()} needs {', '.join(sorted(needs))}"
        for name, needs in names.items()
        if needs
    ]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the slow tests."""
    for item in items:
        if SLOW_FIXTURES & set(getattr(item, "fixturenames", ())) or "torch" in foreign(item.path):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def no_torch(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that is the first to import torch is a slow one."""
    before = "torch" in sys.modules
    yield
    if "torch" in sys.modules and not before:
        assert request.node.get_closest_marker("slow"), "it imports torch: mark it slow"


@pytest.fixture(autouse=True)
def shown_messages() -> Iterator[None]:
    """Messages and progress go to standard error, as the command line shows them."""
    with shown():
        yield


def common(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that all processes of a test run share."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


def made_once(
    tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]
) -> Path:
    """Return this process's copy of a folder that only the first one to ask for it makes."""
    made = common(tmp_path_factory) / f"made-{name}"
    with FileLock(made.with_suffix(".lock")):
        if not made.exists():
            new = tmp_path_factory.mktemp(name)
            make(new)
            new.rename(made)
    return Path(shutil.copytree(made, tmp_path_factory.mktemp(name) / name))


@pytest.fixture(scope="session")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of a test run share."""
    folder = common(tmp_path_factory) / "graphs"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(autouse=True, scope="module")
def quick_exports(request: pytest.FixtureRequest) -> Iterator[None]:
    """Modules that train share the graphs of their networks."""
    if "torch" not in foreign(request.path):
        yield
        return
    with traced_graphs.shared(request.getfixturevalue("graphs")):
        yield


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """160 designs with two tags each, in files, with a catalog designs.csv beside them."""
    folder = tmp_path_factory.mktemp("library")
    designs = []
    for number in range(160):
        shape, colour = SHAPES[number % 5], list(COLOURS)[number // 5 % 4]
        name = f"{number:03d}-{shape}.png"
        draw(shape, COLOURS[colour], 100 + number % 17, number // 5).save(folder / name)
        designs.append(Design(name, (shape, colour)))
    catalog = Catalog(tuple(designs), Path(folder))
    catalog.write(folder / "designs.csv")
    return catalog


PACKED = PackConfig(size=48, min_count=3, split="70/15/15")


@pytest.fixture(scope="session")
def dataset(library: Catalog, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library, packed. Tests that change it take a copy."""
    folder = tmp_path_factory.mktemp("packed") / "dataset"
    pack(library, folder, PACKED)
    return folder


@pytest.fixture(scope="session")
def headed(library: Catalog, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `dataset`, packed as by default, and `model`: a kernel head, without torch."""
    from hangtag.training.train import train

    def make(folder: Path) -> None:
        pack(library, folder / "dataset", PackConfig(min_count=3, split="70/30/0"))
        train(folder / "dataset", folder / "model")

    return made_once(tmp_path_factory, "headed", make)


@pytest.fixture
def repacked(library: Catalog, tmp_path: Path) -> Path:
    """The dataset as another machine packs it: from files with other times, in another folder."""
    root = shutil.copytree(library.root, tmp_path / "other", copy_function=shutil.copyfile)
    pack(replace(library, root=root), tmp_path / "packed again", PACKED)
    return tmp_path / "packed again"


@pytest.fixture(scope="session")
def work(dataset: Path, graphs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `dataset`, packed from the library, and `model`, trained on it."""
    pytest.importorskip("torch", reason="needs the train extra: the model is trained here")
    from hangtag.training.config import TrainConfig
    from hangtag.training.train import train

    config = TrainConfig(
        backbone="test_resnet", input_size=32, epochs=15, learning_rate=0.01, precision="fp32"
    )

    def make(folder: Path) -> None:
        shutil.copytree(dataset, folder / "dataset")
        with traced_graphs.shared(graphs), traced_graphs.whole():
            train(folder / "dataset", folder / "model", config)

    return made_once(tmp_path_factory, "work", make)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of tests/service/test_pictures.py."""
    parser.addoption("--screenshots", help="folder for the pictures of the README")
    parser.addoption("--demo", help="folder that `make demo` made, whose designs they show")
