"""Lists of MXNet into a catalog: every way to write a line, and the error for a wrong one."""

from pathlib import Path

import pytest

from hangtag.errors import CatalogError, ConfigError, VocabularyError
from hangtag.library.catalog import Catalog
from hangtag.library.importers import import_catalog
from hangtag.library.lst import label_columns
from tests.library.conftest import rows, touch


def read_lst(folder: Path, text: str, tags_file: Path) -> Catalog:
    source = folder / "train.lst"
    source.write_text(text, encoding="utf-8", newline="")
    return import_catalog("lst", source, tags_file=tags_file)


@pytest.mark.parametrize(
    "line",
    [
        "7\t1\t0\t1\tu-2/a.png",
        "7\t1.0\t0.0\t1.000000\tu-2/a.png",
        "7 \t 1\t0\t1 \t /u-2/a.png ",
        "7.0\t1\t-1\t1\tu-2/a.png\t",
        "7\t1,0,1\tu-2/a.png",
        "7 \t 1.0, 0.0, 1.0 \t /u-2/a.png \r",
        "7\t1 0 1\tu-2/a.png",
        "7 1 0 1 u-2/a.png",
        "  7   1   0  1   /u-2/a.png  ",
        "7 1,0,1 /u-2/a.png",
        "7\t1.000000e+00\t0.000000e+00\t1e0\tu-2/a.png",
        "-7\t+1\t0\t1.\tu-2/a.png",
        "7.0000e+00\t1\t-1.0e+00\t1\tu-2/a.png\r",
    ],
)
def test_every_way_to_write_a_line(tmp_path: Path, tags_file: Path, line: str) -> None:
    catalog = read_lst(tmp_path, f"\ufeff{line}\n\n", tags_file)
    assert rows(catalog) == {"u-2/a.png": ("cat", "blume")}
    assert catalog.designs[0].not_tags == ()
    assert catalog.root == tmp_path


@pytest.mark.parametrize("label", ["2", "2.000000", "2.000000e+00", "+2"])
def test_one_label_is_the_number_of_a_class(
    tmp_path: Path, tags_file: Path, label: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """As im2rec writes it for folders."""
    text = f"0\t0\ta.png\r\n1\t{label}\tb\\b.png\r\n2\t-1\tc.png\r\n3 1.0 d.png\r\n"
    assert rows(read_lst(tmp_path, text, tags_file)) == {
        "a.png": ("cat",),
        "b\\b.png": ("blume",),
        "c.png": (),
        "d.png": ("red car",),
    }
    logged = capsys.readouterr().err
    assert "one label a line, read as the number of a class (0: cat)" in logged
    assert (
        "1 of 4 designs have the class -1 and are imported without tags (first: line 3)" in logged
    )
    assert label_columns(tmp_path / "train.lst") == 3


@pytest.mark.parametrize("label", ["3", "0.5", "-2", "nan", "cat"])
def test_a_number_of_no_class_is_an_error(tmp_path: Path, tags_file: Path, label: str) -> None:
    with pytest.raises(CatalogError, match=r"line 2: the label .* is no class number.*0 to 2"):
        read_lst(tmp_path, f"0\t0\ta.png\n1\t{label}\tb.png\n", tags_file)


@pytest.mark.parametrize("labels", ["1\t0\t1", "1,0,1", "1 0", ""])
def test_a_changing_number_of_labels_is_an_error(
    tmp_path: Path, tags_file: Path, labels: str
) -> None:
    text = f"0\t0\ta.png\n1\t{labels}\tb.png\n"
    with pytest.raises(CatalogError, match=r"line 2: \d labels, but the first line has one"):
        read_lst(tmp_path, text, tags_file)


def test_how_many_tags_a_list_is_about(tmp_path: Path) -> None:
    for text, count in (("1\t0\t1\ta.png\n", 2), ("1\t1\ta.png\n2\t0\tb.png\n", 1)):
        (tmp_path / "a.lst").write_text(text)
        assert label_columns(tmp_path / "a.lst") == count
    (tmp_path / "a.lst").write_text("\n")
    with pytest.raises(CatalogError, match="no designs"):
        label_columns(tmp_path / "a.lst")


def test_names_with_blanks_between_tabs_and_the_order_of_lines(
    tmp_path: Path, tags_file: Path
) -> None:
    text = "2\t0\t1\t0\tz my cat, big.png\n1\t0\t0\t0\ta\u2028b.png\n3\t1\t1\t1\ts3://b/c d.png\n"
    assert list(rows(read_lst(tmp_path, text, tags_file)).items()) == [
        ("z my cat, big.png", ("red car",)),
        ("a\u2028b.png", ()),
        ("s3://b/c d.png", ("cat", "red car", "blume")),
    ]


def test_absolute_path_stays_when_the_file_is_there(tmp_path: Path, tags_file: Path) -> None:
    touch(tmp_path, "a.png")
    text = f"1\t1\t0\t0\t{tmp_path}/a.png\n2\t1\t0\t0\t{tmp_path}/gone.png\n"
    images = [design.image for design in read_lst(tmp_path, text, tags_file)]
    assert images == [f"{tmp_path}/a.png", f"{tmp_path}/gone.png".lstrip("/")]


def test_images_folder_becomes_the_root(tmp_path: Path, tags_file: Path) -> None:
    (tmp_path / "a.lst").write_text("1\t1\t0\t0\t/x/a.png\n")
    catalog = import_catalog(
        "lst", tmp_path / "a.lst", tags_file=tags_file, images=tmp_path / "bucket"
    )
    assert catalog.location(catalog.designs[0]) == str(tmp_path / "bucket" / "x" / "a.png")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("2\t1\t0\ta.png", r"2 labels, but .*tags\.txt names 3 tags"),
        ("2\t1,0,1,1\ta.png", r"4 labels, but .*tags\.txt names 3 tags"),
        ("2\ta.png", "0 labels"),
        ("2\t1\t0\t2\ta.png", "label '2' is not 0 or 1"),
        ("2\t1\t0\tnan\ta.png", "label 'nan'"),
        ("2\t1\t0\tinf\ta.png", "label 'inf'"),
        ("2\t1\t0\t5e-1\ta.png", "label '5e-1' is not 0 or 1"),
        ("2\t2\t5\t0\t.1\t.2\t.6\t.8\ta.png", "object detection"),
        ("2\t4\t5\t640\t480\t0\t.1\t.2\t.6\t.8\t1\t0\t0\t1\t1\ta.png", "object detection"),
        ("2 1 0 1 my cat.png", "label 'my' is not 0 or 1 .*tabs"),
        ("2\t1\t0\t1", "no path"),
        ("2\t1\t0\t1\t ", "no path"),
        ("2\t1\t0\t1\t/", "no path"),
        ("2", "no path"),
        ("x2\t1\t0\t1\ta.png", "ID 'x2' is not a number"),
        ("1\t0\t1\ta.png", "2 labels"),
    ],
)
def test_wrong_line_is_named(tmp_path: Path, tags_file: Path, line: str, expected: str) -> None:
    with pytest.raises(CatalogError, match=rf"train\.lst, line 3: .*{expected}"):
        read_lst(tmp_path, f"1\t1\t0\t1\ta.png\n\n{line}\n", tags_file)


def test_lst_needs_tags_that_make_sense(tmp_path: Path) -> None:
    (tmp_path / "a.lst").write_text("1\t1\ta.png\n")
    with pytest.raises(ConfigError, match="tags file"):
        import_catalog("lst", tmp_path / "a.lst")
    (tmp_path / "tags.json").write_text('["cat", 5]')
    with pytest.raises(VocabularyError, match=r"tags\.json"):
        import_catalog("lst", tmp_path / "a.lst", tags_file=tmp_path / "tags.json")
    (tmp_path / "tags.json").write_text('["cat"]')
    catalog = import_catalog("lst", tmp_path / "a.lst", tags_file=tmp_path / "tags.json")
    assert rows(catalog) == {"a.png": ("cat",)}
