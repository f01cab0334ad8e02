"""A small library of real files, and its index."""

import shutil
from pathlib import Path

import pytest

from hangtag.index.build import build_index
from hangtag.library.catalog import Catalog


@pytest.fixture(scope="module")
def some(library: Catalog, tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """40 designs in a folder of their own, with a catalog designs.csv. Tests do not change it."""
    folder = tmp_path_factory.mktemp("some")
    for design in library.designs[:40]:
        shutil.copy(library.location(design), folder / design.image)
    found = Catalog(library.designs[:40], folder)
    found.write(folder / "designs.csv")
    return found


@pytest.fixture(scope="module")
def indexed(some: Catalog, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The index of `some`. Tests that change it take a copy."""
    folder = tmp_path_factory.mktemp("indexed") / "index"
    build_index(some.root / "designs.csv", folder, workers=1)
    return folder
