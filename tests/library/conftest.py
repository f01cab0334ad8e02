"""Helpers of the tests that read other formats into a catalog."""

from pathlib import Path

import pytest

from hangtag.library.catalog import Catalog


def rows(catalog: Catalog) -> dict[str, tuple[str, ...]]:
    return {design.image: design.tags for design in catalog}


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


@pytest.fixture
def tags_file(tmp_path: Path) -> Path:
    path = tmp_path / "tags.txt"
    path.write_text("cat\nred car\nBlume\n", encoding="utf-8")
    return path
