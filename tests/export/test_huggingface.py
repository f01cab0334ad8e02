"""The folder for the Hugging Face Hub: timm loads it, and its card's code runs."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch

import hangtag
from hangtag.errors import ConfigError, ModelError
from hangtag.index.backbone import OnnxBackbone, own_constants
from hangtag.library.catalog import Catalog
from hangtag.tagging.calibration import Calibration
from hangtag.tagging.tagger import Tagger
from hangtag.training.pooled import SignProjection


def run_card(folder: Path, design: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Execute the Python of a card beside a design; return its names."""
    shutil.copyfile(design, folder / "design.png")
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL):
        exec(block, names)
    return names


def test_a_whole_network_is_a_timm_model_with_its_classifier(
    work: Path, library: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangtag.export_model(work / "model", tmp_path / "hub", to="huggingface")
    tagger, design = Tagger.open(work / "model"), Path(library.location(library.designs[3]))
    names = run_card(tmp_path / "hub", design, monkeypatch)
    [expected] = tagger.score_images([design])
    assert np.abs(names["probabilities"] - expected).max() < 0.01
    logits = names["logits"].numpy()
    scores = Calibration.of(tagger.vocabulary.tags).apply(logits)
    assert np.abs(scores - expected).max() < 0.02  # Pillow's box and hangtag's differ a little
    suggested = [one.tag for one in tagger.tag([design])[0] if one.mark]
    assert sorted(names["tags"]) == sorted(suggested)
    config = json.loads((tmp_path / "hub" / "config.json").read_text())
    assert config["label_names"] == list(tagger.vocabulary.names)
    assert "library_name: timm" in (tmp_path / "hub" / "README.md").read_text()


def test_the_backbone_of_a_kernel_head_gives_its_features(
    headed: Path, library: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first part of its features is a projection of what timm gives, decorrelated."""
    hangtag.export_model(headed / "model", tmp_path / "hub", to="huggingface")
    names = run_card(tmp_path / "hub", Path(library.location(library.designs[0])), monkeypatch)
    pixels = (names["pixels"] * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    backbone = OnnxBackbone()
    features = backbone.features(pixels)[:, : backbone.widths[0]]
    own = torch.nn.functional.layer_norm(names["features"], names["features"].shape[1:])
    constants, width = own_constants(), features.shape[1]
    own = SignProjection(own.shape[1], width)(own).numpy() - constants["mean"][:width]
    own = own @ constants["map0"]
    assert np.abs(own - features).max() < 0.1  # its weights in hangtag are in half precision
    assert (tmp_path / "hub" / "head.safetensors").exists()
    again = timm.create_model(f"local-dir:{tmp_path / 'hub'}", pretrained=True, num_classes=3)
    assert again(torch.zeros(1, 4, 64, 64)).shape == (1, 3)


def test_what_cannot_be_such_a_folder_is_refused(work: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="was not written by `hangtag export`"):
        hangtag.export_model(work / "model", work / "model", to="huggingface")
    with pytest.raises(ConfigError, match="float weights"):
        hangtag.export_model(work / "model", tmp_path, to="huggingface", int8=work / "dataset")
    bare = Path(shutil.copytree(work / "model", tmp_path / "m"))
    (bare / "weights.safetensors").unlink()
    with pytest.raises(ModelError, match="give --to onnx"):
        hangtag.export_model(bare, tmp_path / "hub", to="huggingface")
