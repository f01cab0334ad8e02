"""The one-file export: what it takes, and that it says what the Tagger says."""

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image

import hangtag
from hangtag.errors import ConfigError
from hangtag.export.onnx_file import session_of
from hangtag.library.catalog import Catalog
from hangtag.tagging.model_folder import ModelFolder
from hangtag.tagging.tagger import Tagger


@pytest.fixture(scope="module")
def exported(headed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kernel head's model whose tags have an implication, and model.onnx beside it."""
    folder = tmp_path_factory.mktemp("exported")
    model = ModelFolder.open(Path(shutil.copytree(headed / "model", folder / "m")))
    first, *others = model.vocabulary.tags
    tags = (replace(first, implies=(others[0].name,)), *others)
    replace(model, vocabulary=replace(model.vocabulary, tags=tags)).write()
    hangtag.export_model(folder / "m", folder / "out.onnx")
    return folder


def probabilities(session: onnxruntime.InferenceSession, image: Image.Image) -> np.ndarray:
    return session.run(None, {"images": np.asarray(image)[np.newaxis]})[0]


def test_a_design_of_the_input_size_gets_the_taggers_numbers(
    exported: Path, library: Catalog
) -> None:
    tagger, session = Tagger.open(exported / "m", asked="fp32"), session_of(exported / "out.onnx")
    size = tagger.folder.preprocessing.input_size
    for design in library.designs[:6]:
        image = Image.open(library.location(design)).convert("RGBA").resize((size, size))
        for corner in ((0, 0), (size - 1, size - 1)):  # no margin is trimmed
            image.putpixel(corner, (0, 0, 0, 255))
        file = io.BytesIO()
        image.save(file, "PNG")
        found = probabilities(session, image)
        assert np.abs(found - tagger.score_images([file.getvalue()])).max() < 1e-4
        assert found[0, 1] >= found[0, 0]  # the first tag implies the second


@pytest.mark.parametrize("size", [(60, 60), (97, 31), (300, 517)])
def test_other_sizes_are_fitted_as_the_tagger_does(exported: Path, size: tuple[int, int]) -> None:
    tagger, session = Tagger.open(exported / "m", asked="fp32"), session_of(exported / "out.onnx")
    random = np.random.default_rng(0)
    rough = Image.fromarray(random.integers(0, 256, (9, 7, 4), np.uint8))
    image = rough.resize(size, Image.Resampling.BICUBIC)
    file = io.BytesIO()
    image.save(file, "PNG")
    found = probabilities(session, image)
    assert np.abs(found - tagger.score_images([file.getvalue()])).max() < 0.02


def test_wide_margins_are_trimmed_for_each_design_of_a_batch(
    exported: Path, library: Catalog
) -> None:
    tagger, session = Tagger.open(exported / "m", asked="fp32"), session_of(exported / "out.onnx")
    assert tagger.folder.preprocessing.trim
    files, pictures = [], []
    for number, design in enumerate(library.designs[:3]):
        canvas = Image.new("RGBA", (210, 160))
        drawing = Image.open(library.location(design)).convert("RGBA")
        drawing = drawing.resize((40, 60) if number else (200, 150))
        canvas.paste(drawing, (5 * number, 9 * number))
        file = io.BytesIO()
        canvas.save(file, "PNG")
        files.append(file.getvalue())
        pictures.append(np.asarray(canvas))
    found = session.run(None, {"images": np.stack(pictures)})[0]
    assert np.abs(found - tagger.score_images(files)).max() < 0.02


def test_an_image_without_alpha_is_opaque(exported: Path) -> None:
    session = session_of(exported / "out.onnx")
    pixels = np.random.default_rng(1).integers(0, 256, (3, 50, 40, 3), np.uint8)
    opaque = np.concatenate([pixels, np.full((3, 50, 40, 1), 255, np.uint8)], axis=-1)
    bare, full = (session.run(None, {"images": one})[0] for one in (pixels, opaque))
    assert (bare == full).all()
    assert len(bare) == 3


def test_the_metadata_names_the_outputs(exported: Path) -> None:
    session = session_of(exported / "out.onnx")
    about = session.get_modelmeta().custom_metadata_map
    folder = ModelFolder.open(exported / "m")
    assert json.loads(about["labels"]) == list(folder.vocabulary.names)
    assert json.loads(about["thresholds"]) == [tag.threshold for tag in folder.vocabulary.tags]
    assert about["model"] == folder.identity
    assert session.get_outputs()[0].shape[1] == len(folder.vocabulary)
    onnx.checker.check_model(onnx.load(exported / "out.onnx"), full_check=True)


def test_a_foreign_file_stays_and_an_own_one_is_replaced(exported: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.onnx"
    out.write_bytes(b"mine")
    with pytest.raises(ConfigError, match="was not written by `hangtag export`"):
        hangtag.export_model(exported / "m", out)
    assert out.read_bytes() == b"mine"
    shutil.copyfile(exported / "out.onnx", out)
    hangtag.export_model(exported / "m", out)
    with pytest.raises(ConfigError, match=r"name a \.onnx file"):
        hangtag.export_model(exported / "m", tmp_path / "a.bin")


def test_photoprism_gets_a_distribution_over_the_suggested_tags(
    exported: Path, library: Catalog, tmp_path: Path
) -> None:
    """Its sum is 1, as PhotoPrism demands; black bars around a design are no part of it."""
    hangtag.export_model(exported / "m", tmp_path / "Shop", to="photoprism")
    labels = (tmp_path / "Shop" / "labels.txt").read_text().splitlines()
    tagger, session = (
        Tagger.open(exported / "m", asked="fp32"),
        session_of(tmp_path / "Shop" / "shop.onnx"),
    )
    assert labels == [*tagger.vocabulary.names, "none"]
    size = tagger.folder.preprocessing.input_size
    assert session.get_inputs()[0].shape == [1, 3, size, size]
    picture = Image.new("RGB", (size, size), "#000000")
    design = Image.new("RGBA", (size, size // 2), "white")
    shape = Image.open(library.location(library.designs[0])).convert("RGBA")
    shape = shape.resize((size // 2, size // 2))
    design.alpha_composite(shape, (size // 4, 0))
    picture.paste(design.convert("RGB"), (0, size // 4))
    planes = np.asarray(picture, np.float32).transpose(2, 0, 1)[np.newaxis]
    [found] = session.run(None, {"images": planes})[0]
    assert found.sum() == pytest.approx(1, abs=1e-5)
    file = io.BytesIO()
    design.convert("RGB").save(file, "PNG")
    [suggested] = tagger.tag([file.getvalue()])
    expected = {one.tag: one.score for one in suggested if one.mark}
    shown = {labels[n]: score for n, score in enumerate(found[:-1]) if score}
    total = max(1, sum(expected.values()))
    assert shown == pytest.approx({name: s / total for name, s in expected.items()}, abs=1e-3)
    assert "Mode: pad" in (tmp_path / "Shop" / "vision.yml").read_text()
    with pytest.raises(ConfigError, match="was not written"):
        hangtag.export_model(exported / "m", exported / "m", to="photoprism")
