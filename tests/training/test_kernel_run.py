"""Runs that end in a kernel head: what they write, and which designs thresholds are fitted on."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from hangtag.dataset.config import PackConfig
from hangtag.dataset.dataset_folder import DESIGNS_FILE, Dataset
from hangtag.dataset.pack import pack
from hangtag.index.backbone import OnnxBackbone
from hangtag.library.catalog import Catalog
from hangtag.quality import thresholds
from hangtag.quality.evaluate import evaluate
from hangtag.tagging.model_folder import ModelFolder
from hangtag.training import kernel
from hangtag.training.config import OWN_BACKBONE, TrainConfig, from_stored
from hangtag.training.defaults import resolved
from hangtag.training.features import features_of
from hangtag.training.network import TagNetwork, four_channels, load_backbone
from hangtag.training.train import needs_torch, train
from hangtag.training.weights import continued

CONFIG = TrainConfig(input_size=32)
Counts = list[tuple[int, ...]]


@pytest.fixture
def fitted_on(monkeypatch: pytest.MonkeyPatch) -> Counts:
    """The shapes of the logits that calibration and thresholds are fitted on, as runs end."""
    seen: Counts = []
    fit = thresholds.fitted

    def watched(vocabulary: object, logits: NDArray[np.float32], labels: object) -> object:
        seen.append(logits.shape)
        return fit(vocabulary, logits, labels)  # type: ignore[arg-type]

    monkeypatch.setattr(thresholds, "fitted", watched)
    return seen


@pytest.mark.slow
def test_the_default_run_fits_its_thresholds_on_training_and_validation_designs(
    dataset: Path, tmp_path: Path, fitted_on: Counts
) -> None:
    result = train(dataset, tmp_path / "m", CONFIG)
    folder, packed = ModelFolder.open(tmp_path / "m"), Dataset.open(dataset)
    training = from_stored(folder.training)
    assert (training.freeze, training.head, training.backbone) == (True, "kernel", OWN_BACKBONE)
    counted = packed.info.designs
    assert fitted_on == [(counted["train"] + counted["validation"], len(packed.vocabulary))]
    assert (result.epochs, result.best_epoch) == (1, 1)
    found, _ = evaluate(tmp_path / "m", dataset, split="validation")
    assert found.figures["macro_map"] == pytest.approx(result.macro_map, abs=0.02)
    written = folder.onnx.stat().st_mtime_ns
    assert train(dataset, tmp_path / "m", CONFIG).macro_map == result.macro_map
    assert folder.onnx.stat().st_mtime_ns == written  # nothing is trained twice


@pytest.mark.slow
def test_without_groups_or_with_a_backbone_that_saw_the_designs_validation_alone_is_used(
    dataset: Path, tmp_path: Path, fitted_on: Counts
) -> None:
    plain = tmp_path / "plain"
    shutil.copytree(dataset, plain)
    (plain / DESIGNS_FILE).unlink()
    train(plain, tmp_path / "m", CONFIG)
    whole = replace(CONFIG, freeze=False, epochs=1, precision="fp32")
    train(dataset, tmp_path / "whole", whole)
    further = replace(CONFIG, freeze=True)
    train(dataset, tmp_path / "further", further, continue_from=tmp_path / "whole")
    packed = Dataset.open(dataset)
    assert fitted_on == 3 * [(packed.info.designs["validation"], len(packed.vocabulary))]


@pytest.mark.slow
def test_what_continues_a_head_on_the_own_backbone_needs_no_torch_either(
    dataset: Path, tmp_path: Path, fitted_on: Counts
) -> None:
    """Its backbone is the one that hangtag comes with, so it has not seen the designs."""
    train(dataset, tmp_path / "m", CONFIG)
    settings = resolved(continued(CONFIG, tmp_path / "m"), continues=True)
    assert not needs_torch(settings, tmp_path / "m")
    train(dataset, tmp_path / "further", CONFIG, continue_from=tmp_path / "m")
    assert fitted_on[0] == fitted_on[1]
    assert not needs_torch(resolved(CONFIG), None)
    for other in ({"head": "linear"}, {"freeze": False}, {"input_size": 40}, {"backbone": "vit"}):
        assert needs_torch(resolved(replace(CONFIG, **other)), None)


def test_features_of_designs_that_were_packed_before_are_not_computed_again(
    library: Catalog, tmp_path: Path, computed: list[int]
) -> None:
    """Other tags, another split, more designs: what is new is all that is computed."""
    folder = tmp_path / "d"
    few = replace(library, designs=library.designs[:120])
    pack(few, folder, PackConfig(size=48, min_count=3, split="70/15/15"))
    backbone = OnnxBackbone()
    features_of(backbone, Dataset.open(folder), 32, folder / "features")
    first = sum(computed)
    pack(library, folder, PackConfig(size=48, min_count=2, split="80/10/10"), overwrite=True)
    computed.clear()
    features_of(backbone, Dataset.open(folder), 32, folder / "features")
    assert 90 < first < 120
    assert sum(computed) <= 144 - first + 18  # new designs, and those that were in the test split


@pytest.mark.slow
def test_a_whole_network_continues_a_model_with_a_kernel_head(
    dataset: Path, tmp_path: Path
) -> None:
    """From its backbone, with a linear head fitted first."""
    train(dataset, tmp_path / "m", CONFIG)
    still = TrainConfig(epochs=1, learning_rate=1e-9, precision="fp32", ema=0.0)
    further = train(dataset, tmp_path / "further", still, continue_from=tmp_path / "m")
    training = ModelFolder.open(tmp_path / "further").training
    assert (training["freeze"], training["head"], training["pooling"]) == (False, "linear", "last")
    assert further.macro_map > 0.5


@pytest.mark.slow
def test_beyond_the_limit_landmarks_tag_as_well(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = train(dataset, tmp_path / "exact", CONFIG)
    designs = Dataset.open(dataset).info.designs["train"]
    monkeypatch.setattr(kernel, "EXACT", designs // 2)
    monkeypatch.setattr(kernel, "LANDMARKS", designs // 2)
    some = train(dataset, tmp_path / "some", CONFIG)
    assert some.macro_map == pytest.approx(exact.macro_map, abs=0.05)
    sizes = [(tmp_path / name / "weights.safetensors").stat().st_size for name in ("exact", "some")]
    assert sizes[1] < sizes[0]


def test_a_model_of_the_first_generation_continues_with_its_own_network() -> None:
    stored = json.loads(json.dumps({"backbone": OWN_BACKBONE, "freeze": True, "step_epochs": [1]}))
    config = from_stored(stored)
    assert (config.backbone, config.head) == ("resnet10t", "linear")
    assert from_stored({**stored, "head": "kernel"}).backbone == OWN_BACKBONE


def test_training_leaves_the_statistics_of_the_own_backbone_alone() -> None:
    network = TagNetwork(OWN_BACKBONE, 3).train()
    before = {name: value.clone() for name, value in network.backbone.named_buffers()}
    network(torch.randint(0, 256, (4, 32, 32, 4), dtype=torch.uint8))
    assert all(torch.equal(value, before[name]) for name, value in network.backbone.named_buffers())
    assert network.training
    assert next(network.backbone.parameters()).requires_grad


@pytest.mark.parametrize("background", [0, 128, 255])
def test_an_opaque_design_is_to_the_own_backbone_what_it_is_to_imagenets(background: int) -> None:
    """On black, grey or white: colours of -1..1, and nothing that alpha adds."""
    network = TagNetwork(OWN_BACKBONE, 3).eval()
    load_backbone(network, OWN_BACKBONE, None)
    first = network.backbone.get_submodule("conv_stem")
    weights = first.get_parameter("weight")
    rng = np.random.default_rng(0)
    pixels = np.full((1, 32, 32, 4), background, np.uint8)
    pixels[0, 8:24, 8:24, :3] = rng.integers(0, 256, (16, 16, 3))
    pixels[..., 3] = 255
    colours = torch.from_numpy(pixels[..., :3]).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        ours = network.backbone.forward_features(planes(pixels))  # type: ignore[operator]
        weights[:, 3] = 0
        without = network.backbone.forward_features(planes(pixels))  # type: ignore[operator]
    torch.testing.assert_close(ours, without, rtol=0, atol=0)
    torch.testing.assert_close(planes(pixels)[:, :3], (colours - 0.5) / 0.5, rtol=0, atol=1e-6)


def planes(pixels: NDArray[np.uint8]) -> torch.Tensor:
    return four_channels(torch.from_numpy(pixels))


def test_a_whole_network_is_one_option_away() -> None:
    assert resolved(CONFIG).freeze
    assert not resolved(replace(CONFIG, freeze=False)).freeze
