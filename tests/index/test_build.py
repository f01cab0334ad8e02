"""An index: incremental by content, resumable, one row for each readable design."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from hangtag.errors import CatalogError, ConfigError
from hangtag.index.build import build_index
from hangtag.index.library_index import LibraryIndex
from hangtag.library.catalog import Catalog


@pytest.fixture
def changing(some: Catalog, indexed: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A library that may be changed, and its index."""
    library = shutil.copytree(some.root, tmp_path / "library")
    index = shutil.copytree(indexed, tmp_path / "index")
    return library / "designs.csv", index


def names(index: Path) -> list[str]:
    return [one.image for one in LibraryIndex(index).designs]


def test_it_has_a_row_for_each_design(some: Catalog, indexed: Path) -> None:
    index = LibraryIndex(indexed)
    assert [one.image for one in index.designs] == [one.image for one in some]
    assert [one.tags for one in index.designs] == [one.tags for one in some]
    for by, width in (("content", 40), ("style", 40)):
        vectors = index.vectors(by)
        assert vectors.shape == (40, width)
        np.testing.assert_allclose(np.linalg.norm(vectors.astype(float), axis=1), 1, atol=1e-3)
    assert index.logits is None


def test_only_new_and_changed_designs_are_computed(changing: tuple[Path, Path]) -> None:
    catalog, index = changing
    assert build_index(catalog, index).computed == 0  # in another folder, with the same content
    folder = catalog.parent
    first, second, third = names(index)[:3]
    (folder / first).rename(folder / "renamed.png")
    shutil.copy(folder / third, folder / second)  # changed, and now a copy
    text = catalog.read_text().replace(first, "renamed.png")
    catalog.write_text("\n".join(text.splitlines()[:-1]) + "\n")  # one leaves
    found = build_index(catalog, index)
    assert (found.designs, found.computed, found.renamed) == (39, 0, 1)
    assert found.removed == 1
    assert len(names(index)) == 39
    assert "renamed.png" in names(index)


def test_a_folder_is_a_library_too_and_what_cannot_be_read_is_listed(
    changing: tuple[Path, Path],
) -> None:
    catalog, index = changing
    (catalog.parent / "broken.png").write_text("no image")
    found = build_index(catalog.parent, index)
    assert (found.designs, found.computed, found.rejected) == (40, 1, {"unreadable": 1})
    rows = (index / "rejected.csv").read_text().splitlines()
    assert rows[0] == "image,reason,message"
    assert "broken.png,unreadable" in rows[1]
    (catalog.parent / "broken.png").unlink()
    assert not build_index(catalog.parent, index).rejected
    assert not (index / "rejected.csv").exists()


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_a_killed_run_is_resumed(some: Catalog, indexed: Path, tmp_path: Path) -> None:
    index = tmp_path / "index"
    command = [sys.executable, "-m", "hangtag", "index", str(some.root), str(index), "--quiet"]
    with subprocess.Popen(command, start_new_session=True) as process:
        while not any(path.stat().st_size for path in index.rglob("digests.bin")):
            assert process.poll() is None
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(60)
    if not (index / "index.json").exists():
        with pytest.raises(ConfigError, match="resumes it"):
            LibraryIndex(index)
    assert build_index(some.root, index).computed < 40
    one, other = LibraryIndex(index), LibraryIndex(indexed)
    np.testing.assert_allclose(one.vectors("style"), other.vectors("style"), atol=0.01)


def test_mistakes_get_one_clear_line(some: Catalog, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not an index; write one"):
        LibraryIndex(tmp_path)
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="not written by `hangtag index`"):
        build_index(some.root, tmp_path)
    with pytest.raises(ConfigError, match="is a file"):
        build_index(some.root, tmp_path / "mine.txt")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.png").write_text("no image")
    with pytest.raises(CatalogError, match="no design in it can be read"):
        build_index(tmp_path / "bad", tmp_path / "index")


def test_an_index_of_an_earlier_format_is_written_anew(changing: tuple[Path, Path]) -> None:
    catalog, index = changing
    about = index / "index.json"
    about.write_text(about.read_text().replace('"format": 2', '"format": 1'))
    with pytest.raises(ConfigError, match="has format 1, this hangtag reads 2; run the `hangtag"):
        LibraryIndex(index)
    assert build_index(catalog, index).designs == 40
    assert len(LibraryIndex(index)) == 40
