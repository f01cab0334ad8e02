"""Models of the built-in algorithm's kind, made by MXNet 1.9.1 (benchmarks/mxnet_models.py)."""

import io
import json
import struct
import subprocess
import sys
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hangtag.dataset.config import PackConfig
from hangtag.dataset.pack import pack
from hangtag.errors import ModelError, VocabularyError
from hangtag.library.catalog import Catalog
from hangtag.sagemaker.mxnet_model import PARAMS_FILES, SYMBOL_FILE, import_mxnet
from hangtag.sagemaker.mxnet_params import read_params
from hangtag.tagging.tagger import Tagger
from hangtag.training.config import TrainConfig, from_stored
from hangtag.training.train import train

MADE = Path(__file__).parent / "mxnet"
Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def tags(tmp_path: Path) -> Path:
    (tmp_path / "tags.txt").write_text("flower\nheart\nword\n")
    return tmp_path / "tags.txt"


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    with tarfile.open(MADE / "model.tar.gz") as tar:
        tar.extractall(tmp_path / "artifact", filter="data")
    return tmp_path / "artifact"


def expected() -> tuple[np.ndarray, np.ndarray]:
    """Return designs as opaque inputs, (n, s, s, 4), and MXNet's probabilities, (n, T)."""
    made = np.load(MADE / "expected.npz")
    small, size = made["designs"], int(made["size"])
    cells = -(-size // small.shape[1])
    designs = small.repeat(cells, 1).repeat(cells, 2)[:, :size, :size]
    opaque = np.full((*designs.shape[:3], 1), 255, np.uint8)
    return np.concatenate([designs, opaque], axis=3), made["probabilities"]


def hangtag(*command: object) -> None:
    subprocess.run([sys.executable, "-m", "hangtag", *map(str, command)], check=True)


def change(artifact: Path, how: Change) -> None:
    """Rewrite the graph."""
    symbol = json.loads((artifact / SYMBOL_FILE).read_text())
    how(symbol)
    (artifact / SYMBOL_FILE).write_text(json.dumps(symbol))


def node(symbol: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in symbol["nodes"] if one["name"] == name)


def test_probabilities_are_mxnets(tags: Path, tmp_path: Path) -> None:
    model = import_mxnet(MADE / "model.tar.gz", tags, tmp_path / "model")
    inputs, probabilities = expected()
    assert probabilities.min() > 0.05
    assert probabilities.max() < 0.95
    assert np.ptp(probabilities, axis=0).min() > 0.01  # it distinguishes the designs
    tagger = Tagger.open(model.path)
    np.testing.assert_allclose(tagger.scores(list(inputs)), probabilities, atol=1e-5)
    assert tagger.vocabulary.names == ("flower", "heart", "word")
    assert model.preprocessing.input_size == 32


def test_the_command_makes_a_model_that_tags(tags: Path, tmp_path: Path) -> None:
    model, out = tmp_path / "model", tmp_path / "out.jsonl"
    inputs, probabilities = expected()
    Image.fromarray(inputs[0]).save(tmp_path / "design.png")
    for command in (
        ("import-model", MADE / "model.tar.gz", model, "--tags-file", tags),
        ("tag", model, tmp_path / "design.png", "--all", "--out", out),
    ):
        hangtag(*command)
    answer = json.loads(out.read_text())
    scores = {tag["tag"]: tag["score"] for tag in answer["tags"]}
    assert [scores[name] for name in ("flower", "heart", "word")] == pytest.approx(
        probabilities[0].tolist(), abs=1e-4
    )


def test_a_network_of_normalised_colours_is_recognised_by_its_first_layer(
    artifact: Path, tags: Path, tmp_path: Path
) -> None:
    """The same network, as if it had been trained on colours scaled by ImageNet's statistics."""
    (params,) = artifact.glob(PARAMS_FILES)
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    data = bytearray(params.read_bytes())
    arrays = read_params(params)
    for name, new in (
        ("bn_data_moving_mean", (arrays["bn_data_moving_mean"] / 255 - mean) / deviation),
        ("bn_data_moving_var", arrays["bn_data_moving_var"] / (255 * deviation) ** 2),
    ):
        at = data.find(arrays[name].tobytes())
        assert at > 0
        data[at : at + 12] = new.astype("<f4").tobytes()
    params.write_bytes(data)
    model = import_mxnet(artifact, tags, tmp_path / "model")
    inputs, probabilities = expected()
    scores = Tagger.open(model.path).scores(list(inputs))
    np.testing.assert_allclose(scores, probabilities, atol=1e-3)


def older(arrays: dict[str, np.ndarray], magic: int | None) -> bytes:
    """Write arrays as an older MXNet did: V1, or without any magic before each."""
    out = struct.pack("<QQQ", 0x112, 0, len(arrays))
    for array in arrays.values():
        head = struct.pack("<I", array.ndim)
        width = "<I" if magic is None else "<q"
        if magic is not None:
            head = struct.pack("<I", magic) + head
        shape = b"".join(struct.pack(width, side) for side in array.shape)
        out += head + shape + struct.pack("<iii", 1, 0, 0) + array.astype("<f4").tobytes()
    out += struct.pack("<Q", len(arrays))
    for name in arrays:
        out += struct.pack("<Q", len(name) + 4) + f"arg:{name}".encode()
    return out


@pytest.mark.parametrize("magic", [0xF993FAC8, None])
def test_files_of_older_versions_are_read(magic: int | None, tmp_path: Path) -> None:
    arrays = {"a": np.arange(6.0).reshape(2, 3), "b": np.ones(4)}
    (tmp_path / "a.params").write_bytes(older(arrays, magic))
    read = read_params(tmp_path / "a.params")
    assert read.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(read[name], array)


def softmax(symbol: dict[str, Any]) -> None:
    node(symbol, "softmax")["op"] = "SoftmaxOutput"


def unknown(symbol: dict[str, Any]) -> None:
    node(symbol, "relu0")["op"] = "Correlation"


def misfit(symbol: dict[str, Any]) -> None:
    node(symbol, "conv0")["attrs"]["num_group"] = "2"


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (softmax, "one class per design"),
        (unknown, "relu0 is a Correlation, which hangtag cannot convert"),
        (misfit, "do not fit"),
        (lambda symbol: symbol.pop("heads"), "damaged"),
        (lambda symbol: node(symbol, "conv0")["attrs"].pop("kernel"), "damaged: KeyError"),
        (lambda symbol: node(symbol, "relu0").pop("inputs"), "damaged: KeyError"),
        (lambda symbol: node(symbol, "fc1_bias").update(name="fc1_lost"), "lack fc1_lost"),
    ],
)
def test_what_cannot_be_converted(
    artifact: Path, tags: Path, tmp_path: Path, how: Change, message: str
) -> None:
    change(artifact, how)
    with pytest.raises(ModelError, match=message):
        import_mxnet(artifact, tags, tmp_path / "model")
    assert not (tmp_path / "model" / "config.json").exists()


def test_damaged_and_foreign_files(artifact: Path, tags: Path, tmp_path: Path) -> None:
    (params,) = artifact.glob(PARAMS_FILES)
    params.write_bytes(params.read_bytes()[:-1000])
    with pytest.raises(ModelError, match=r"ends at byte .* within an array"):
        import_mxnet(artifact, tags, tmp_path / "model")
    with tarfile.open(MADE / "model.tar.gz") as tar:
        tar.extractall(artifact, filter="data")
    params.write_bytes(params.read_bytes().replace(b"fc1_bias", b"\xff\xfebias\xff\xff"))
    with pytest.raises(ModelError, match="damaged in a name"):
        import_mxnet(artifact, tags, tmp_path / "model")
    params.write_bytes(b"something else altogether")
    with pytest.raises(ModelError, match="not a parameter file of MXNet"):
        import_mxnet(artifact, tags, tmp_path / "model")
    params.unlink()
    with pytest.raises(ModelError, match="it is not a model of SageMaker"):
        import_mxnet(artifact, tags, tmp_path / "model")
    with pytest.raises(ModelError, match="cannot be unpacked"):
        import_mxnet(tags, tags, tmp_path / "model")
    with pytest.raises(ModelError, match="no such file or folder"):
        import_mxnet(tmp_path / "none.tar.gz", tags, tmp_path / "model")


def test_an_archive_writes_nowhere_else(tags: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.tar.gz"
    with tarfile.open(bad, "w:gz") as tar:
        member = tarfile.TarInfo(f"../../{SYMBOL_FILE}")
        member.size = 2
        tar.addfile(member, io.BytesIO(b"{}"))
    with pytest.raises(ModelError, match="it is not a model of SageMaker"):
        import_mxnet(bad, tags, tmp_path / "model")
    assert not (tmp_path / SYMBOL_FILE).exists()


def test_it_is_measured_like_any_other(library: Catalog, tmp_path: Path) -> None:
    rows = [replace(design, tags=("flower",) if "red" in design.tags else ("heart", "word"))
            for design in library]  # fmt: skip
    dataset = tmp_path / "dataset"
    pack(Catalog(tuple(rows), library.root), dataset, PackConfig(size=32))
    model = import_mxnet(MADE / "model.tar.gz", dataset / "tags.json", tmp_path / "model")
    hangtag("evaluate", model.path, dataset)
    assert "mxnet at 32 px" in (model.path / "report.html").read_text()
    assert json.loads((model.path / "metrics.json").read_text())


def test_it_cannot_be_trained_further(tags: Path, work: Path, tmp_path: Path) -> None:
    model = import_mxnet(MADE / "model.tar.gz", tags, tmp_path / "model")
    with pytest.raises(ModelError, match=r"no weights\.safetensors to continue from"):
        train(work / "dataset", tmp_path / "next", TrainConfig(), continue_from=model.path)
    with pytest.raises(
        ModelError, match="imported, so the settings it was trained with are unknown"
    ):
        from_stored(model.training)


def test_tags_must_be_the_networks(tags: Path, tmp_path: Path) -> None:
    tags.write_text("flower\nheart\n")
    with pytest.raises(ModelError, match=r"has 3 tags, but .* names 2"):
        import_mxnet(MADE / "model.tar.gz", tags, tmp_path / "model")
    with pytest.raises(VocabularyError):
        import_mxnet(MADE / "model.tar.gz", tmp_path / "none.txt", tmp_path / "model")
