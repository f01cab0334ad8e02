"""Augmented batches of 64 designs for training, beside other loaders, on two cores.

    python benchmarks/batches.py DATASET --size 96

DATASET is packed, with 4,000 designs or more. Beside hangtag from memory, from its file of decoded
designs, and decoding each time: MXNet 1.9.1's ImageRecordIter on the same records, a torch
DataLoader over PNG files and, where it is installed, webdataset, the last two with torchvision's
transforms. Interleaved rounds, each a new process that is timed from its fifth batch on, as long as
`--seconds`; medians. The first run makes an environment with MXNet (430 MB). Four minutes.
"""

import argparse
import io
import json
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

BATCH, WARM_UP, LONGEST = 64, 4, 300
MXNET = Path(__file__).resolve().parent / ".venv-mxnet"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--venv", type=Path, default=MXNET)
    parser.add_argument("--python", default="python3.11", help="Python 3.10 or 3.11 for MXNet")
    parser.add_argument("--loader", help=argparse.SUPPRESS)
    parser.add_argument("--files", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.loader:
        batches = LOADERS[options.loader](options.dataset, options.files, options.size)
        print(json.dumps(rate(batches, options.seconds)))
        return
    from recordio_mxnet import make_venv

    mxnet = make_venv(options.venv, options.python)
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        files = Path(name)
        unpack(options.dataset, files)
        for _ in range(options.rounds):
            for loader in LOADERS:
                python = mxnet if loader.startswith("MXNet") else sys.executable
                done = step(python, loader, options, files)
                if done is not None:
                    found.setdefault(loader, []).append(done)
    print(f"| {options.size} px | designs/s | slowest and fastest run |\n|---|---|---|")
    for loader, rates in found.items():
        low, high = min(rates), max(rates)
        print(f"| {loader} | {statistics.median(rates):,.0f} | {low:,.0f}, {high:,.0f} |")


def step(python: str, loader: str, options: Any, files: Path) -> float | None:
    command = [python, "-W", "ignore", __file__, str(options.dataset), "--loader", loader,
               "--files", str(files), "--size", str(options.size),
               "--seconds", str(options.seconds)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST, check=False)
    if done.returncode:
        missing = "No module named 'webdataset'" in done.stderr
        sys.exit(done.stderr[-2000:]) if not missing else None
        return None
    return float(json.loads(done.stdout.splitlines()[-1]))


def rate(batches: Iterable[int], seconds: float) -> float:
    """Return designs per second of an iterator of batch sizes, without its first batches."""
    rest = iter(batches)
    list(islice(rest, WARM_UP))
    start, designs = time.monotonic(), 0
    for size in rest:
        designs += size
        if time.monotonic() - start > seconds:
            break
    return designs / (time.monotonic() - start)


def unpack(dataset: Path, files: Path) -> None:
    """Write the designs as PNG files, and as shards for webdataset."""
    from hangtag.dataset.recordio import RecordReader

    (files / "png").mkdir()
    with (
        RecordReader(dataset / "training/train.rec") as records,
        tarfile.open(files / "0.tar", "w") as tar,
    ):
        for number, record in enumerate(records):
            (files / "png" / f"{number}.png").write_bytes(record.data)
            entry = tarfile.TarInfo(f"{number}.png")
            entry.size = len(record.data)
            tar.addfile(entry, io.BytesIO(record.data))


def hangtag_batches(dataset: Path, files: Path, size: int, kept: str) -> Iterator[int]:
    from hangtag.dataset.augmentation import Augmentation
    from hangtag.dataset.batches import Batches
    from hangtag.dataset.dataset_folder import Dataset
    from hangtag.dataset.pixel_store import PixelStore

    folder = Dataset.open(dataset)
    records, labels = folder.records("train"), folder.labels("train")
    memory = 2**36 if kept == "memory" else 0
    store = PixelStore(
        records, folder.info.size, size, memory, folder=files / "pixels" if kept == "file" else None
    )
    augmentation = Augmentation(
        flip=True, rotate=10, scale=0.25, aspect=0.1, shift=0.08, shear=0.05, hue=10,
        saturation=0.2, brightness=0.2,
    )  # fmt: skip
    batches = Batches(store, labels[store.kept], BATCH, augmentation, 0)
    for inputs, _ in batches.iterate(0, 10**9):
        yield len(inputs)


def mxnet_batches(dataset: Path, _: Path, size: int) -> Iterator[int]:
    import mxnet

    loader = mxnet.io.ImageRecordIter(
        path_imgrec=str(dataset / "training/train.rec"),
        path_imgidx=str(dataset / "training/train.idx"),
        data_shape=(4, size, size), label_width=labels_of(dataset), batch_size=BATCH, shuffle=True,
        rand_mirror=True, max_rotate_angle=10, max_aspect_ratio=0.1, max_shear_ratio=0.05,
        max_random_scale=1.25, min_random_scale=0.75, resize=size, rand_crop=True,
        preprocess_threads=2,
    )  # fmt: skip
    while True:
        loader.reset()
        for batch in loader:
            batch.data[0].wait_to_read()
            yield BATCH - batch.pad


def labels_of(dataset: Path) -> int:
    return len(json.loads((dataset / "tags.json").read_text())["tags"])


def transforms(size: int) -> Any:
    from torchvision.transforms import v2

    return v2.Compose([
        v2.PILToTensor(), v2.Resize(size, antialias=True), v2.CenterCrop(size),
        v2.RandomHorizontalFlip(),
        v2.RandomAffine(10, translate=(0.08, 0.08), scale=(0.75, 1.25), shear=3),
    ])  # fmt: skip


def torch_batches(_: Path, files: Path, size: int) -> Iterator[int]:
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset

    class Designs(Dataset):
        paths = sorted((files / "png").iterdir())
        change = transforms(size)

        def __len__(self) -> int:
            return len(self.paths)

        def __getitem__(self, number: int) -> Any:
            with Image.open(self.paths[number]) as image:
                return self.change(image.convert("RGBA"))

    loader = DataLoader(
        Designs(), BATCH, shuffle=True, num_workers=2, drop_last=True, persistent_workers=True
    )
    while True:
        for batch in loader:
            yield len(batch)


def webdataset_batches(_: Path, files: Path, size: int) -> Iterator[int]:
    import webdataset
    from torch.utils.data import DataLoader

    shards = [str(files / "0.tar")] * 2
    designs = (
        webdataset.WebDataset(shards, shardshuffle=False, repeat=True)
        .shuffle(1000)
        .decode("pilrgba")
        .to_tuple("png")
        .map_tuple(transforms(size))
        .batched(BATCH)
    )
    for (batch,) in DataLoader(designs, batch_size=None, num_workers=2):
        yield len(batch)


LOADERS: dict[str, Any] = {
    "hangtag, from memory": lambda *a: hangtag_batches(*a, "memory"),
    "hangtag, from its file": lambda *a: hangtag_batches(*a, "file"),
    "hangtag, decoding each time": lambda *a: hangtag_batches(*a, ""),
    "MXNet's ImageRecordIter": mxnet_batches,
    "torch's DataLoader over files": torch_batches,
    "webdataset": webdataset_batches,
}

if __name__ == "__main__":
    main()
