from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from hangtag.errors import ConfigError
from hangtag.training.config import TrainConfig
from hangtag.training.defaults import resolved
from hangtag.training.network import TagNetwork, four_channels, load_backbone, network_of

RANDOM = torch.Generator().manual_seed(3)
SQUARES = torch.randint(0, 256, (5, 48, 48, 4), dtype=torch.uint8, generator=RANDOM)


def test_with_all_stages_the_head_sees_the_means_of_each() -> None:
    network = TagNetwork("test_resnet", 3, pooling="all").eval()
    seen: list[torch.Tensor] = []
    for number in range(1, 5):
        stage = network.backbone.get_submodule(f"layer{number}")
        stage.register_forward_hook(lambda module, inputs, output: seen.append(output))
    with torch.no_grad():
        features = network.features(SQUARES)
        last_alone = network.backbone(four_channels(SQUARES))
        logits = network(SQUARES)
    seen = seen[:4]
    parts = [last_alone, *(s.mean((2, 3)) for s in seen[:3]), seen[3].amax((2, 3))]
    for part, found in zip(parts, features.split(network.widths, 1), strict=False):
        scaled = (part - part.mean(1, keepdim=True)) / part.std(1, correction=0, keepdim=True)
        torch.testing.assert_close(found, scaled, atol=1e-3, rtol=1e-3)
    assert network.head.in_features == features.shape[1] == 1572
    torch.testing.assert_close(logits, network.head(features))


@pytest.mark.parametrize(
    ("backbone", "width"),
    [
        ("test_vit", 766),  # one size throughout, so that there is only the last stage
        ("test_efficientnet", 1388),  # a layer wider than the last
    ],
)
def test_backbones_of_other_kinds_show_all_stages_too(backbone: str, width: int) -> None:
    network = TagNetwork(backbone, 3, pooling="all").eval()
    side = 160 if backbone == "test_vit" else 48
    with torch.no_grad():
        features = network.features(torch.zeros(2, side, side, 4, dtype=torch.uint8))
    assert features.shape == (2, width)
    assert network.head.in_features == width


@pytest.mark.parametrize(
    ("backbone", "side", "said"),
    [
        ("inception_v3", 64, "cannot take inputs of 64 px .*give another --input-size"),
        ("halonet26t", 64, "cannot take inputs of 64 px .*give another --input-size"),
        ("timm/resnet18.a1_in1k", 64, "timm has no network .*near: resnet18"),
        ("local-dir:/nowhere", 64, "timm has no network"),
    ],
)
def test_a_network_that_cannot_be_is_one_clear_error(backbone: str, side: int, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        network_of(resolved(TrainConfig(backbone, input_size=side)), 3)


def test_an_error_names_the_backbone_that_was_asked_for() -> None:
    with pytest.raises(ConfigError, match="resnet18 cannot have an output stride of 4"):
        TagNetwork("resnet18", 3, output_stride=4)


def test_the_last_stage_alone_is_what_the_backbone_makes_of_it() -> None:
    network = TagNetwork("test_resnet", 3).eval()
    with torch.no_grad():
        expected = network.backbone(four_channels(SQUARES))
        torch.testing.assert_close(network.features(SQUARES), expected)
    assert isinstance(network.head, nn.Linear)


@pytest.mark.parametrize("backbone", ["test_resnet", "test_efficientnet", "hangtag-base"])
def test_half_the_output_stride_shows_four_times_as_many_places_to_the_same_weights(
    backbone: str,
) -> None:
    usual, finer = (
        TagNetwork(backbone, 3, pooling="all", output_stride=stride).eval() for stride in (32, 16)
    )
    finer.load_state_dict(usual.state_dict())
    with torch.no_grad():
        maps = [
            network.backbone.forward_features(four_channels(SQUARES)) for network in (usual, finer)
        ]
        features = [network.features(SQUARES) for network in (usual, finer)]
    width = maps[0].shape[1]
    assert [tuple(found.shape[1:]) for found in maps] == [(width, 2, 2), (width, 3, 3)]
    assert usual.stages == finer.stages
    assert features[0].shape == features[1].shape
    assert not torch.allclose(features[0], features[1], atol=0.1)


@pytest.mark.parametrize("backbone", ["test_vit", "vgg11", "thin_resnet20"])
def test_a_backbone_that_cannot_have_another_output_stride_is_named(backbone: str) -> None:
    with pytest.raises(ConfigError, match=f"{backbone} cannot have an output stride of 16: give"):
        TagNetwork(backbone, 3, output_stride=16)


def test_a_backbone_without_stages_to_show_is_named() -> None:
    with pytest.raises(ConfigError, match="thin_resnet20 does not expose its stages: give"):
        TagNetwork("thin_resnet20", 3, pooling="all")


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_convnext"])
def test_pretrained_weights_see_an_opaque_design_as_they_were_trained(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Colours less the mean, by the deviation, whatever the first layer is and pads with."""
    expected = timm.create_model(name, num_classes=0).eval()
    save_file(expected.state_dict(), tmp_path / "w.safetensors")
    network = TagNetwork(name, 3).eval()
    given = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    known = network.backbone.pretrained_cfg
    assert isinstance(known, dict)
    monkeypatch.setattr(network.backbone, "pretrained_cfg", {**known, **given})
    load_backbone(network, name, str(tmp_path / "w.safetensors"))
    side = 160 if name == "test_vit" else 64
    pixels = torch.randint(0, 256, (2, side, side, 4), dtype=torch.uint8, generator=RANDOM)
    pixels[..., 3] = 255
    mean, std = (torch.tensor(given[key]).view(3, 1, 1) for key in ("mean", "std"))
    with torch.no_grad():
        colours = pixels[..., :3].permute(0, 3, 1, 2).float() / 255
        torch.testing.assert_close(
            network.features(pixels), expected((colours - mean) / std), atol=1e-4, rtol=1e-4
        )
    # Another network gets the offset with the weights, from a model of hangtag's.
    save_file(network.state_dict(), tmp_path / "model.safetensors")
    other = TagNetwork(name, 3).eval()
    load_backbone(other, name, str(tmp_path / "model.safetensors"))
    with torch.no_grad():
        torch.testing.assert_close(other.features(pixels), network.features(pixels))
