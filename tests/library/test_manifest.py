"""Manifests of SageMaker into a catalog: every form of labels, and the error for a wrong line."""

import json
from pathlib import Path

import pytest

from hangtag.errors import CatalogError
from hangtag.library.catalog import Catalog
from hangtag.library.importers import import_catalog
from tests.library.conftest import rows


def read_manifest(folder: Path, *lines: object, **options: object) -> Catalog:
    source = folder / "train.manifest"
    source.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return import_catalog("manifest", source, **options)  # type: ignore[arg-type]


def test_multi_hot_manifest(tmp_path: Path, tags_file: Path) -> None:
    catalog = read_manifest(
        tmp_path,
        {"source-ref": "s3://bucket/a.png", "class": [1, 0, 1]},
        {"image-ref": "/u/b.png", "class": [0.0, 0, -1], "note": "no list"},
        tags_file=tags_file,
    )
    assert rows(catalog) == {"s3://bucket/a.png": ("cat", "blume"), "u/b.png": ()}
    assert catalog.root == tmp_path


def test_class_id_manifest(tmp_path: Path, tags_file: Path) -> None:
    lines = ({"source-ref": "a.png", "class": [0, 2]}, {"source-ref": "b.png", "class": []})
    catalog = read_manifest(tmp_path, *lines, tags_file=tags_file, label_format="class-id")
    assert rows(catalog) == {"a.png": ("cat", "blume"), "b.png": ()}


def test_what_ground_truth_writes_is_read_without_options(tmp_path: Path) -> None:
    # The developer guide's example of a multi-label output, twice labelled ids 0 and 1 alone.
    metadata = {
        "job-name": "labeling-job/tags",
        "class-map": {"1": "bicycle", "0": "person", "8": "clothing"},
        "confidence-map": {"1": 0.95, "0": 0.77, "8": 0.2},
        "type": "groundtruth/image-classification-multilabel",
    }
    line = {"source-ref": "s3://b/a.jpg", "sizes": [4, 5], "tags": [1, 0, 8]}
    other = {"source-ref": "s3://b/b.jpg", "sizes": [4, 5], "tags": [1]}
    catalog = read_manifest(
        tmp_path, line | {"tags-metadata": metadata}, other | {"tags-metadata": metadata}
    )
    assert rows(catalog) == {
        "s3://b/a.jpg": ("bicycle", "person", "clothing"),
        "s3://b/b.jpg": ("bicycle",),
    }


def test_class_map_with_multi_hot_labels_comes_before_the_tags_file(
    tmp_path: Path, tags_file: Path
) -> None:
    line = {"source-ref": "a", "t": [0, 1], "t-metadata": {"class-map": {"0": "a", "1": "b"}}}
    assert rows(read_manifest(tmp_path, line, tags_file=tags_file)) == {"a": ("b",)}


def test_attribute_chooses_between_lists(tmp_path: Path, tags_file: Path) -> None:
    line = {"source-ref": "a.png", "boxes": [1, 1, 1], "tags": [0, 1, 0]}
    with pytest.raises(CatalogError, match=r"line 1: one of boxes, tags .*attribute"):
        read_manifest(tmp_path, line, tags_file=tags_file)
    catalog = read_manifest(tmp_path, line, tags_file=tags_file, attribute="tags")
    assert rows(catalog) == {"a.png": ("red car",)}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ({"class": [1, 0, 1]}, "no image"),
        ({"source-ref": "", "class": [1, 0, 1]}, "no path"),
        ({"source-ref": "a.png", "class": [1, 0]}, "2 labels, but the tags file names 3"),
        ({"source-ref": "a.png", "class": [0, 5, 1]}, "other than 0 and 1.*label_format"),
        ({"source-ref": "a.png", "class": "1"}, "'class' is not a list of labels or a class"),
        ({"source": "some text", "class": [1, 0, 0]}, "no image"),
        (["a.png"], "not a JSON object"),
    ],
)
def test_wrong_manifest_line_is_named(
    tmp_path: Path, tags_file: Path, line: object, expected: str
) -> None:
    good = {"source-ref": "a.png", "class": [1, 0, 1]}
    with pytest.raises(CatalogError, match=rf"train\.manifest, line 2: .*{expected}"):
        read_manifest(tmp_path, good, line, tags_file=tags_file)


@pytest.mark.parametrize("number", [3, -1, True, None])
def test_class_without_a_name_is_an_error(tmp_path: Path, tags_file: Path, number: object) -> None:
    line = {"source-ref": "a.png", "class": [number]}
    with pytest.raises(CatalogError, match=f"line 1: the class {number} has no name"):
        read_manifest(tmp_path, line, tags_file=tags_file, label_format="class-id")


def test_manifest_without_names_or_json_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="line 1: the class 0 has no name; give a tags file"):
        read_manifest(tmp_path, {"source-ref": "a.png", "class": [1]})
    with pytest.raises(CatalogError, match="line 1: no key with a list"):
        read_manifest(tmp_path, {"source-ref": "a.png", "class": 1})
    (tmp_path / "a.manifest").write_text('{"source-ref": ')
    with pytest.raises(CatalogError, match=r"a\.manifest, line 1: not valid JSON"):
        import_catalog("manifest", tmp_path / "a.manifest")


GROUND_TRUTH = {
    "class-map": {"0": "cat", "2": "blue"},
    "type": "groundtruth/image-classification-multilabel",
}
LABELLED = {"source-ref": "s3://b/a.png", "lab": [0, 2], "lab-metadata": GROUND_TRUTH}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ({}, "not labelled"),
        ({"lab": None}, "not labelled"),
        ({"lab-metadata": {"failure-reason": "no\nannotation"}}, "no annotation"),
        ({"lab": [0], "lab-metadata": {"failure-reason": "late"}}, "late"),
        ({"lab": -1, "lab-metadata": {"failure-reason": "late"}}, "late"),
        ({"lab-metadata": "odd"}, "not labelled"),
        ({"lab": []}, None),
    ],
)
@pytest.mark.parametrize("position", [0, 1])
def test_lines_without_labels_are_designs_without_tags(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    line: dict[str, object],
    reason: str | None,
    position: int,
) -> None:
    lines = [LABELLED, LABELLED | {"source-ref": "s3://b/c.png"}]
    lines.insert(position, {"source-ref": "s3://b/b.png", **line})
    catalog = rows(read_manifest(tmp_path, *lines))
    assert catalog == {
        "s3://b/a.png": ("cat", "blue"),
        "s3://b/b.png": (),
        "s3://b/c.png": ("cat", "blue"),
    }
    logged = capsys.readouterr().err
    note = (
        "1 of 3 designs have no 'lab' and are imported without tags"
        f" (first: line {position + 1}, s3://b/b.png"
    )
    assert (f"{note}: {reason})" in logged) if reason else "designs have no" not in logged


FAILED = {"source-ref": "a.png", "lab-metadata": {"failure-reason": "no\nannotation"}}


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([FAILED, FAILED], r"labelling failed for all 2 lines \(line 1: no annotation\)$"),
        ([{"source-ref": "a.png"}, {"image-ref": "b.png", "lab": None}], "no line has labels$"),
        ([{"source-ref": "a.png"}, FAILED], r"no line has labels; 1 failed \(line 2: no annot"),
    ],
)
def test_a_manifest_without_any_labels(tmp_path: Path, lines: list[object], expected: str) -> None:
    with pytest.raises(CatalogError, match=rf"train\.manifest: {expected}"):
        read_manifest(tmp_path, *lines)


def test_a_manifest_of_one_class_for_each_image(tmp_path: Path, tags_file: Path) -> None:
    metadata = {"class-name": "sea horse", "type": "groundtruth/image-classification"}
    lines = (
        {"source-ref": "a.png", "lab": 3, "lab-metadata": metadata},
        {"source-ref": "b.png", "lab": 0.0, "lab-metadata": {**metadata, "class-name": "cat"}},
    )
    assert rows(read_manifest(tmp_path, *lines)) == {"a.png": ("sea horse",), "b.png": ("cat",)}
    line = {"source-ref": "a.png", "lab": 1, "lab-metadata": {"type": metadata["type"]}}
    assert rows(read_manifest(tmp_path, line, tags_file=tags_file)) == {"a.png": ("red car",)}
    assert rows(read_manifest(tmp_path, LABELLED | {"lab": [0.0, 2.0]})) == {
        "s3://b/a.png": ("cat", "blue")
    }


def test_an_adjusted_job_is_asked_about_and_boxes_are_not(tmp_path: Path) -> None:
    adjusted = {**LABELLED, "adj": [0], "adj-metadata": GROUND_TRUTH}
    with pytest.raises(CatalogError, match=r"line 2: one of lab, adj .*--attribute"):
        read_manifest(tmp_path, {"source-ref": "b.png"}, adjusted)
    catalog = read_manifest(tmp_path, adjusted, {"source-ref": "b.png"}, attribute="adj")
    assert rows(catalog) == {"s3://b/a.png": ("cat",), "b.png": ()}
    boxes = {
        "boxes": {"annotations": []},
        "boxes-metadata": {"type": "groundtruth/object-detection"},
    }
    assert rows(read_manifest(tmp_path, LABELLED | boxes)) == {"s3://b/a.png": ("cat", "blue")}


def test_source_may_hold_the_path_of_an_image(tmp_path: Path, tags_file: Path) -> None:
    line = {"source": "img/a.JFIF", "class": [0, 1, 0]}
    assert rows(read_manifest(tmp_path, line, tags_file=tags_file)) == {"img/a.JFIF": ("red car",)}
