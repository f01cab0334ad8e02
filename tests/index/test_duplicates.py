"""Duplicates: every kind of copy is found, and the best one is kept for a reason."""

import shutil
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageOps

from hangtag.index.build import build_index
from hangtag.index.duplicates import (
    COLUMNS,
    Duplicate,
    find_duplicates,
    is_duplicates,
    write_duplicates,
)
from hangtag.index.duplicates_page import write_page
from hangtag.index.library_index import LibraryIndex


def drawing() -> Image.Image:
    """A drawing without any symmetry."""
    image = Image.new("RGBA", (300, 240))
    pen = ImageDraw.Draw(image)
    pen.polygon([(30, 200), (60, 40), (150, 90), (260, 30), (230, 210)], "#d02030")
    pen.ellipse((70, 100, 130, 160), "#2040d0")
    pen.rectangle((160, 120, 220, 150), "#20a040")
    pen.line((40, 190, 210, 60), "#101010", 8)
    return image


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Duplicate]:
    """What is found in a folder with copies of one drawing, and two other designs."""
    folder = tmp_path_factory.mktemp("copies")
    image = drawing()
    image.save(folder / "original.png")
    shutil.copy(folder / "original.png", folder / "exact.png")
    image.resize((150, 120), Image.Resampling.LANCZOS).save(folder / "small.png")
    red, green, blue, alpha = image.split()
    Image.merge("RGBA", (blue, red, green, alpha)).save(folder / "recoloured.png")
    ImageOps.mirror(image).save(folder / "flipped.png")
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image)
    white.convert("RGB").save(folder / "white.jpg", quality=95)
    other = Image.new("RGBA", (200, 200))
    ImageDraw.Draw(other).ellipse((40, 40, 160, 160), "#20a040")
    other.save(folder / "disc.png")
    other = Image.new("RGBA", (200, 200))
    ImageDraw.Draw(other).polygon([(100, 10), (190, 190), (10, 190)], outline="#20a040", width=9)
    other.save(folder / "triangle.png")
    build_index(folder, folder.parent / "index", workers=1)
    index = LibraryIndex(folder.parent / "index")
    designs = find_duplicates(index, workers=1)
    assert designs == find_duplicates(index, workers=1)
    return {Path(one.image).name: one for one in designs}


def test_every_kind_of_copy_is_found(found: dict[str, Duplicate]) -> None:
    relations = {name: one.relation for name, one in found.items() if not one.keep}
    kept = next(name for name, one in found.items() if one.keep)
    assert kept in ("exact.png", "flipped.png", "original.png", "recoloured.png")
    assert len(found) == 6
    assert {"disc.png", "triangle.png"}.isdisjoint(found)
    assert relations.pop("small.png") == "other size"
    assert relations.pop("white.jpg") == "on white"
    assert len({one.group for one in found.values()}) == 1


def test_the_kept_one_is_the_first_and_has_a_reason(found: dict[str, Duplicate]) -> None:
    first, *others = found.values()
    assert first.keep
    assert first.reason == "the first of equals"
    assert not any(one.keep or one.reason for one in others)
    assert (first.width, first.height) == (300, 240)


def test_they_are_written_as_a_table_and_a_page(
    found: dict[str, Duplicate], tmp_path: Path
) -> None:
    path = tmp_path / "duplicates.csv"
    write_duplicates(path, list(found.values()))
    assert is_duplicates(path)
    assert len(path.read_text().splitlines()) == 7
    page = write_page(list(found.values()), tmp_path / "duplicates.html").read_text()
    assert page.count("data:image/png;base64,") == 6
    (tmp_path / "mine.csv").write_text("image,tags\n")
    assert not is_duplicates(tmp_path / "mine.csv")
    assert COLUMNS[0] == "group"
