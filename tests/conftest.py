"""A small library of real files, drawn once: shapes in colours, on transparency."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from hangtag.cli.terminal import shown
from hangtag.library.catalog import Catalog, Design

# The wait of OpenMP's idle threads burns the cores that the tests' own processes need.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
if "PYTEST_XDIST_WORKER" in os.environ:  # a core for each of the tests that run side by side
    os.environ.setdefault("OMP_NUM_THREADS", "1")
# No test may reach out; a missing hub is then told at once and not after half a minute of retries.
os.environ["HF_HUB_OFFLINE"] = "1"

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


@pytest.fixture(autouse=True)
def shown_messages() -> Iterator[None]:
    """Messages and progress go to standard error, as the command line shows them."""
    with shown():
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


@pytest.fixture(scope="session")
def work(library: Catalog, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `dataset`, packed from the library, and `model`, trained on it."""
    from hangtag.dataset.config import PackConfig
    from hangtag.dataset.pack import pack
    from hangtag.training.config import TrainConfig
    from hangtag.training.train import train

    folder = tmp_path_factory.mktemp("work")
    pack(library, folder / "dataset", PackConfig(size=48, min_count=3, split="70/15/15"))
    config = TrainConfig(
        backbone="test_resnet", input_size=32, epochs=15, learning_rate=0.01, precision="fp32"
    )
    train(folder / "dataset", folder / "model", config)
    return folder


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of tests/service/test_pictures.py."""
    parser.addoption("--screenshots", help="folder for the pictures of the README")
    parser.addoption("--demo", help="folder that `make demo` made, whose designs they show")
