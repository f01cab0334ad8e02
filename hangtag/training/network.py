"""The network: a backbone with four input channels, hangtag's or timm's, and a tag head."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from timm.models.resnet import BasicBlock, downsample_conv
from torch import Tensor, nn

from hangtag.errors import ConfigError, TrainingError
from hangtag.index.backbone import own_constants, own_state
from hangtag.index.own import OWN_NETWORK
from hangtag.training.config import OWN_BACKBONE, Loss, Pooling
from hangtag.training.defaults import ResolvedConfig, is_pretrained
from hangtag.training.learned import LearnedParts
from hangtag.training.pooled import PooledParts
from hangtag.training.weights import weights_file

# SageMaker's image classification names thin residual networks for small images by their depth, 6n
# + 2 (arXiv:1512.03385, section 4.2); timm has the parts but not the names.
THIN_RESNETS = {f"thin_resnet{6 * n + 2}": n for n in (3, 5, 7, 9, 18)}


class TagNetwork(nn.Module):
    """Logits of every tag, from premultiplied RGBA inputs.

    The head gets the backbone's own pooled features, or with `pooling` "all" also those of the
    earlier feature maps and of the design itself (`PooledParts`): edges, textures, places and
    colours that the last map of a frozen backbone has lost. `output_stride` is the number of input
    pixels per cell of the last map; at 16 timm dilates the last stage's convolutions instead of
    striding (arXiv:1706.05587, section 3.2), with the same weights.
    """

    def __init__(
        self,
        network: str,
        tags: int,
        dropout: float = 0.0,
        pooling: Pooling = "last",
        output_stride: int = 32,
    ) -> None:
        """Raises ConfigError where timm has no such network, or not with these settings."""
        super().__init__()
        self.backbone = _backbone(network, output_stride)
        # The statistics of photographs suit designs; those of a few dozen designs take from it
        # what it knows.
        self.keeps_statistics = network == OWN_BACKBONE
        self.output_stride = output_stride
        # What pretrained weights expect of colours beyond `four_channels`: see `load_backbone`.
        self.register_buffer("offset", torch.zeros(4, 1, 1))
        self.dropout = nn.Dropout(dropout)
        # Some backbones end in a layer wider than their last feature map.
        width: Any = getattr(self.backbone, "head_hidden_size", None) or self.backbone.num_features
        stages = _stages(self.backbone, network) if pooling == "all" else {}
        self.stages = list(stages)
        self.pooled = PooledParts(width, list(stages.values())) if stages else None
        self.widths = self.pooled.widths if self.pooled else (width,)  # of the features' parts
        self.learned: LearnedParts | None = None
        if self.pooled and network == OWN_BACKBONE:
            self.learned = LearnedParts(self.widths, own_constants())
            self.widths = self.learned.widths
        self.head: nn.Module = tag_head(sum(self.widths), tags)
        self.head_is_fitted = False  # to designs, at least for some of the tags

    def train(self, mode: bool = True) -> Self:
        """Set the mode; the normalisation layers of hangtag-base keep their statistics in both."""
        super().train(mode)
        if self.keeps_statistics:
            for layer in self.backbone.modules():
                if isinstance(layer, nn.BatchNorm2d):
                    layer.eval()
        return self

    def forward(self, inputs: Tensor) -> Tensor:
        """Map uint8 (n, s, s, 4), premultiplied, to float logits (n, T)."""
        logits: Tensor = self.head(self.dropout(self.features(inputs)))
        return logits

    def features(self, inputs: Tensor) -> Tensor:
        """Map uint8 (n, s, s, 4), premultiplied, to the head's inputs, float (n, F)."""
        planes = four_channels(inputs) + self.get_buffer("offset")
        if self.pooled is None:
            features: Tensor = self.backbone(planes)
            return features
        backbone: Any = self.backbone
        last, maps = backbone.forward_intermediates(planes, indices=self.stages)
        found: Tensor = self.pooled(inputs, backbone.forward_head(last, pre_logits=True), maps)
        return found if self.learned is None else self.learned(found)


def network_of(config: ResolvedConfig, tags: int) -> TagNetwork:
    """Return the network that a resolved configuration describes. Raises ConfigError."""
    network = TagNetwork(
        config.backbone, tags, config.dropout, config.pooling, config.output_stride
    )
    known: Any = getattr(network.backbone, "pretrained_cfg", {})
    side = known["input_size"][-1] if known.get("fixed_input_size") else config.input_size
    if side != config.input_size:
        raise ConfigError(f"{config.backbone} takes inputs of {side} px: give --input-size {side}")
    try:
        with torch.no_grad():
            network.eval().features(torch.zeros(1, side, side, 4, dtype=torch.uint8))
    except Exception as cause:  # a network fails in its own way
        why = (str(cause).splitlines() or ["no reason given"])[0]
        raise ConfigError(
            f"{config.backbone} cannot take inputs of {side} px ({why}): give another --input-size"
        ) from cause
    return network.train()


def tag_head(width: int, tags: int, random: torch.Generator | None = None) -> nn.Linear:
    """Return an untrained tag head; its weights come from `random`, or torch's own generator."""
    head = nn.Linear(width, tags)
    nn.init.normal_(head.weight, std=0.01, generator=random)
    nn.init.zeros_(head.bias)
    return head


def set_bias(head: nn.Linear, frequencies: NDArray[np.float64], loss: Loss) -> None:
    """Start every tag at its own frequency, (T,) in 0..1 (arXiv:1708.02002, section 3.3).

    Otherwise the first epoch is spent on learning that most tags are rare. A loss that weights yes
    and no equally expects one half: starting at the frequencies would give gradients of hundreds,
    which dominate Adam's second moment for a thousand steps.
    """
    if loss == "weighted-bce":
        return
    kept = np.clip(frequencies, 1e-4, 1 - 1e-4)
    with torch.no_grad():
        head.bias.copy_(torch.from_numpy(np.log(kept / (1 - kept))))


class ThinResNet(nn.Sequential):
    """The residual network for small images: 16, 32 and 64 channels, `blocks` blocks of each."""

    num_features = 64

    def __init__(self, blocks: int) -> None:
        super().__init__(nn.Conv2d(4, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        width = 16
        for channels in (16, 32, 64):
            for block in range(blocks):
                stride = 2 if block == 0 and channels > 16 else 1
                shortcut = (
                    downsample_conv(width, channels, 1, stride) if width != channels else None
                )
                self.append(BasicBlock(width, channels, stride, shortcut))
                width = channels
        self.append(nn.AdaptiveAvgPool2d(1)).append(nn.Flatten())


def four_channels(inputs: Tensor) -> Tensor:
    """Map uint8 (n, s, s, 4), premultiplied, to float (n, 4, s, s) about -1..1.

    Three channels are the design on mid grey, where black and white stand out equally; the fourth
    is alpha, which makes a grey design stand out too. This is part of the network, and so of the
    exported model.
    """
    planes = inputs.permute(0, 3, 1, 2).float() / 255
    alpha = planes[:, 3:]
    return torch.cat([planes[:, :3] * 2 - alpha, alpha * 2 - 1], dim=1)


def load_backbone(network: TagNetwork, name: str, weights: str | None) -> None:
    """Fill the backbone with pretrained weights: `hub` or a .safetensors, .pth or .pt file.

    With None hangtag's own backbone gets its own weights, and any other is left as it is. A file
    that names its tensors otherwise fits if their order and shapes are those of the backbone.
    Raises ConfigError when the weights cannot be loaded, TrainingError when they do not fit. A
    weights file other than safetensors is unpickled with tensors only.
    """
    if not is_pretrained(name, weights):
        return
    state = _hub_state(name) if weights == "hub" else _given_state(weights)
    own = network.backbone.state_dict()
    state = {_plain(key): value for key, value in state.items()}
    state = _named_as(own, state)
    known: Any = getattr(network.backbone, "pretrained_cfg", {})
    mean, std = (torch.tensor(known.get(name, (0.5, 0.5, 0.5))) for name in ("mean", "std"))
    fitting = {
        key: _four_planes(value, own[key], std) for key, value in state.items() if key in own
    }
    wrong = [key for key, value in fitting.items() if value.shape != own[key].shape]
    missing = [key for key in own if key not in fitting and not key.endswith("num_batches_tracked")]
    if wrong or missing:
        raise TrainingError(
            f"the weights of {weights} do not fit {name}: "
            + (f"{len(missing)} tensors are missing, such as {missing[0]}" if missing else "")
            + (f"{wrong[0]} has shape {tuple(state[wrong[0]].shape)}" if wrong else "")
        )
    network.backbone.load_state_dict({**own, **fitting})
    offset = state.get("offset", torch.zeros(4, 1, 1))  # of a model of hangtag
    if any(_sees_colours(state[key], own[key]) for key in fitting):
        offset = torch.cat([1 - 2 * mean, torch.zeros(1)]).view(4, 1, 1)
    network.get_buffer("offset").copy_(offset)


def _named_as(own: Mapping[str, Tensor], state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return weights under the names of a backbone, where only their names differ.

    Other implementations of a network often have the same tensors in the same order, and then
    those of a classifier. The first may see three channels instead of four.
    """
    if any(key in own for key in state) or len(state) < len(own):
        return state
    first, *others = own.items()
    found = list(state.values())
    same_first = first[1].shape[2:] == found[0].shape[2:] and len(first[1]) == len(found[0])
    if not same_first or any(
        one.shape != other.shape for (_, one), other in zip(others, found[1:], strict=False)
    ):
        return state
    return dict(zip(own, found, strict=False))


def timm_network(name: str) -> tuple[str, str]:
    """Return a backbone's name in timm, and that of its classifier's weights; "" for several.

    Raises ConfigError where timm has no such network.
    """
    if name in THIN_RESNETS:
        raise ConfigError(f"timm has no {name}: export the model with --to onnx")
    known = OWN_NETWORK if name == OWN_BACKBONE else name
    settings: Any = getattr(_backbone(name), "pretrained_cfg", {})
    classifier = settings.get("classifier", "")
    return known, classifier if isinstance(classifier, str) else ""


def _backbone(name: str, output_stride: int = 32) -> nn.Module:
    """Make a timm backbone without its classifier, for four input channels."""
    # 32 is the default; networks with a fixed stride do not take the argument.
    stride: dict[str, Any] = {"output_stride": output_stride} if output_stride != 32 else {}
    known = OWN_NETWORK if name == OWN_BACKBONE else name
    try:
        if name in THIN_RESNETS:
            return ThinResNet(THIN_RESNETS[name], **stride)
        return timm.create_model(known, pretrained=False, num_classes=0, in_chans=4, **stride)
    except (TypeError, AssertionError) as cause:
        if not stride:
            raise
        raise ConfigError(
            f"{name} cannot have an output stride of {output_stride}: give --output-stride 32"
        ) from cause
    except Exception as cause:  # the hub's client, for names with a slash, raises anything
        plain = name.rpartition("/")[2].partition(".")[0]
        near = difflib.get_close_matches(plain, timm.list_models())
        raise ConfigError(
            f"timm has no network {name!r}" + (f"; near: {', '.join(near)}" if near else "")
        ) from cause


def _stages(backbone: nn.Module, name: str) -> dict[int, int]:
    """Return the feature maps that the head gets, by their number in timm, and their channels.

    They are the last ones of each size, from a quarter of the input down. Raises ConfigError for a
    backbone that does not expose its maps.
    """
    if not hasattr(backbone, "forward_intermediates"):
        raise ConfigError(f"{name} does not expose its stages: give --pooling last")
    # By their sizes at the default stride: at 16 the last two have the same.
    with torch.device("meta"):
        found: Any = _backbone(name).feature_info
    last_of = {info["reduction"]: stage for stage, info in enumerate(found)}
    return {stage: found[stage]["num_chs"] for size, stage in last_of.items() if size >= 4}


def _hub_state(name: str) -> dict[str, Tensor]:
    if name == OWN_BACKBONE:
        raise ConfigError(f"{name} is not on the hub, it comes with hangtag: leave out --weights")
    try:
        model: Any = timm.create_model(name, pretrained=True)
    except Exception as cause:  # the hub client raises its own, requests' and OS errors
        raise ConfigError(
            f"the weights of {name} cannot be loaded from the hub ({str(cause).splitlines()[0]}); "
            "check the connection, or give a file"
        ) from cause
    return dict(model.state_dict())


def _given_state(weights: str | None) -> dict[str, Tensor]:
    file = weights_file(weights)
    if file is None:
        return {key: torch.from_numpy(value) for key, value in own_state().items()}
    return _file_state(file)


def _file_state(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as cause:  # a damaged file raises anything
        raise ConfigError(f"{path} is not a weights file: {str(cause).splitlines()[0]}") from cause
    for key in ("state_dict_ema", "state_dict", "model"):
        loaded = loaded.get(key, loaded) if isinstance(loaded, dict) else loaded
    if not isinstance(loaded, dict) or not all(isinstance(v, Tensor) for v in loaded.values()):
        raise ConfigError(f"{path} is not a weights file: it holds more than named tensors")
    return loaded


def _plain(key: str) -> str:
    """Strip the prefixes of a backbone's keys in wrappers and in hangtag's own models."""
    for prefix in ("module.", "backbone."):
        key = key.removeprefix(prefix)
    return key


def _sees_colours(value: Tensor, own: Tensor) -> bool:
    """Return whether these are the weights of a first convolution on three colours."""
    return value.ndim == own.ndim == 4 and value.shape[1] == 3 and own.shape[1] == 4


def _four_planes(value: Tensor, own: Tensor, std: Tensor) -> Tensor:
    """Adapt a first convolution on colours normalised by `std`, (3,), to `four_channels`.

    Those differ from mid grey by twice as much as colours of 0..1, so the weights are divided by
    twice the deviation; the network's offset makes up for the mean, so that an opaque design is to
    the layer exactly what it was trained on. The weights of alpha start at 0. Any other tensor is
    returned unchanged.
    """
    if _sees_colours(value, own):
        colours = value / (2 * std.to(value)).view(1, 3, 1, 1)
        return torch.cat([colours, torch.zeros_like(value[:, :1])], dim=1)
    return value
