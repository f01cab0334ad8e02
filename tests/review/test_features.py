"""Features of a catalog's designs: computed once, by content."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from hangtag.dataset.images import Pixels
from hangtag.library.catalog import Catalog, Design
from hangtag.review.features import catalog_features


class Counting:
    """A backbone whose features are mean colours, and that counts what it computes."""

    widths = (3, 1)
    digest = "counting"
    computed = 0

    def features(self, inputs: Pixels) -> NDArray[np.float32]:
        self.computed += len(inputs)
        return inputs.mean(axis=(1, 2)).astype(np.float32)


@pytest.fixture
def catalog(library: Catalog, tmp_path: Path) -> Catalog:
    """Six designs, a copy of the first, one that is no image, and one that is not there."""
    for design in library.designs[:6]:
        shutil.copy(library.location(design), tmp_path)
    shutil.copy(library.location(library.designs[0]), tmp_path / "copy.png")
    (tmp_path / "broken.png").write_bytes(b"no image")
    more = [Design(name, ("x",)) for name in ("copy.png", "broken.png", "gone.png")]
    designs = [replace(d, group="pair" if n in (2, 3) else "") for n, d in enumerate(library)]
    return Catalog((*designs[:6], *more), tmp_path)


def test_a_design_is_computed_once(
    catalog: Catalog, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    backbone = Counting()
    found = catalog_features(catalog, backbone, tmp_path / "kept", workers=1)  # type: ignore[arg-type]
    assert backbone.computed == 6
    assert found.positions.tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert "2 designs cannot be read" in capsys.readouterr().err
    rows = found.rows[:]
    assert rows.shape == (7, 4)
    assert np.array_equal(rows[0], rows[6])
    again = catalog_features(catalog, backbone, tmp_path / "kept", workers=1)  # type: ignore[arg-type]
    assert backbone.computed == 6
    assert np.array_equal(again.rows[:], rows)
    groups = found.groups
    assert groups[0] == groups[6]  # a copy
    assert groups[2] == groups[3]  # the catalog's own
    assert len(set(groups.tolist())) == 5
    shutil.copy(tmp_path / "copy.png", tmp_path / "gone.png")
    later = catalog_features(catalog, backbone, tmp_path / "kept", workers=1)  # type: ignore[arg-type]
    assert len(later.positions) == 8
    assert backbone.computed == 6


def test_without_a_readable_design_there_are_none(tmp_path: Path) -> None:
    nothing = Catalog((Design("gone.png", ("x",)),), tmp_path)
    found = catalog_features(nothing, Counting(), tmp_path / "kept", workers=1)  # type: ignore[arg-type]
    assert len(found.positions) == len(found.groups) == 0


def test_features_of_an_index_are_used_and_stay(catalog: Catalog, tmp_path: Path) -> None:
    """A review of two designs of a library leaves the others where they are."""
    backbone = Counting()
    catalog_features(catalog, backbone, tmp_path / "features")
    before = backbone.computed
    few = replace(catalog, designs=catalog.designs[:2])
    catalog_features(few, backbone, tmp_path / "features", keep=True)
    catalog_features(catalog, backbone, tmp_path / "features")
    assert backbone.computed == before
