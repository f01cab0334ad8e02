"""hangtag's RecordIO beside MXNet 1.9.1: each reads what the other writes, then both are timed.

    python benchmarks/recordio_mxnet.py [--venv DIR] [--python python3.11] [--records 10000]

Opt-in, for Linux on x86-64. The first run makes a venv with MXNet (430 MB on disk, 100 MB of
downloads, under a minute); each run then takes three minutes and 700 MB of temporary files.
Prints what was compared, then a table of medians over interleaved runs, every run a fresh process.
Exits with an error when anything read differs from what was written.
"""

import argparse
import hashlib
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# hangtag is imported inside the functions that run here, mxnet inside those that this script runs
# as a child in the venv (`--step`): neither environment holds the other's package.

PACKAGES = ("mxnet==1.9.1", "numpy==1.23.5", "opencv-python-headless==4.8.1.78")
MARK = b"\x0a\x23\xd7\xce"
IMAGES, LABELS, SIZE = 24, 5, 64
LONGEST = 3600  # seconds for one command
TASKS = {
    "read": "read all, file order",
    "keys": "read all by key, shuffled",
    "labels": "labels of all records",
    "write": "write all",
}


def main() -> None:
    here = Path(__file__).resolve()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--venv", type=Path, default=here.parent / ".venv-mxnet")
    parser.add_argument("--python", default="python3.11", help="Python 3.10 or 3.11 for the venv")
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--step", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        print(json.dumps(STEPS[options.step[0]](Path(options.step[1]))))
        return
    python = make_venv(options.venv, options.python)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        compare(folder, python)
        measure(folder, python, options.records, options.rounds)


def make_venv(venv: Path, python: str) -> str:
    """Return the Python of a venv with MXNet, made if it is not there yet."""
    inside = venv / "bin" / "python"
    if not (venv / "complete").exists():
        subprocess.run([python, "-m", "venv", str(venv)], check=True, timeout=LONGEST)
        (venv / ".gitignore").write_text("*\n")
        install = [str(inside), "-m", "pip", "install", "--quiet", *PACKAGES]
        subprocess.run(install, check=True, timeout=LONGEST)
        (venv / "complete").touch()
    return str(inside)


def step(python: str, name: str, folder: Path) -> Any:
    """Run one step of this script under `python`; return what it printed as JSON."""
    command = [python, "-W", "ignore", str(Path(__file__).resolve()), "--step", name, str(folder)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=LONGEST)
    return json.loads(done.stdout.splitlines()[-1])


def expect(what: str, same: bool) -> None:
    print(f"{'same' if same else 'DIFFERENT':<10}{what}", flush=True)
    if not same:
        raise SystemExit(1)


# Interoperation


def compare(folder: Path, python: str) -> None:
    """Let each side read the other's files; stops at the first difference."""
    from hangtag.dataset.recordio import RecordReader, RecordWriter

    rows = draw(folder)
    (folder / "rows.json").write_text(json.dumps(rows))
    with RecordWriter(folder / "hangtag.rec") as writer:
        for row in rows:
            data = (folder / row["file"]).read_bytes()
            writer.write(row["key"], row["labels"], data, row["id"], row["id2"])
    labels = [row["labels"] for row in rows]
    print(f"{len(rows)} RGBA PNG images, {LABELS} labels, half of the records in several parts")
    found = step(python, "mxnet_reads", folder)
    expect("MXIndexedRecordIO reads hangtag's records", found["records"] == rows)
    pixels = [row["pixels"] for row in rows]
    expect("MXNet decodes hangtag's images to the same RGBA pixels", found["pixels"] == pixels)
    expect("mx.image.ImageIter gives hangtag's labels", found["ImageIter"] == labels)
    expect("mx.io.ImageRecordIter gives hangtag's labels", found["ImageRecordIter"] == labels)
    step(python, "mxnet_writes", folder)
    for name in ("rec", "idx"):
        ours, theirs = (folder / f"{side}.{name}" for side in ("hangtag", "mxnet"))
        expect(f"the .{name} that MXNet writes", ours.read_bytes() == theirs.read_bytes())
    for name in ("passed", "encoded"):
        with RecordReader(folder / f"{name}.rec") as reader:
            ids = {record.id: record.labels.tolist() for record in reader}
            expected = {row["key"]: row["labels"] for row in rows}
            expect(f"labels that im2rec wrote ({name})", ids == expected and len(reader) == IMAGES)
            if name == "passed":
                hashes = {record.id: hashlib.sha256(record.data).hexdigest() for record in reader}
                expect(
                    "images that im2rec passed on", hashes == {r["key"]: r["sha256"] for r in rows}
                )


def draw(folder: Path) -> list[dict[str, Any]]:
    """Draw RGBA images of noise; a chunk full of marks makes half of the records multi-part."""
    import numpy as np
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    rng = np.random.default_rng(0)
    rows = []
    for number in range(IMAGES):
        chunks = PngInfo()
        if number % 2:
            chunks.add(b"maRk", (MARK + b"x") * 40)
        path = folder / f"{number}.png"
        pixels = rng.integers(0, 256, (SIZE, SIZE, 4), np.uint8)
        Image.fromarray(pixels).save(path, pnginfo=chunks)
        rows.append(
            {
                "key": 3 * number,
                "labels": rng.integers(0, 2, LABELS).astype(float).tolist(),
                "id": 10**12 + number,
                "id2": number % 3,
                "file": path.name,
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                "pixels": hashlib.sha256(pixels[:, :, [2, 1, 0, 3]].tobytes()).hexdigest(),
            }
        )
    return rows


def mxnet_reads(folder: Path) -> dict[str, Any]:
    import mxnet as mx

    rows = json.loads((folder / "rows.json").read_text())
    rec, idx = str(folder / "hangtag.rec"), str(folder / "hangtag.idx")
    reader = mx.recordio.MXIndexedRecordIO(idx, rec, "r")
    pixels = []
    for key, row in zip(reader.keys, rows, strict=True):
        packed = reader.read_idx(key)
        header, data = mx.recordio.unpack(packed)
        row |= {"key": key, "labels": header.label.tolist(), "id": header.id, "id2": header.id2}
        row["sha256"] = hashlib.sha256(data).hexdigest()
        pixels.append(hashlib.sha256(mx.recordio.unpack_img(packed)[1].tobytes()).hexdigest())
    common = {"path_imgrec": rec, "data_shape": (3, SIZE, SIZE), "batch_size": 6}
    loop = mx.image.ImageIter(path_imgidx=idx, label_width=LABELS, **common)
    native = mx.io.ImageRecordIter(label_width=LABELS, **common)
    return {
        "records": rows,
        "pixels": pixels,
        **labels_of(ImageIter=loop, ImageRecordIter=native),
    }


def labels_of(**iterators: Any) -> dict[str, list[list[float]]]:
    return {
        name: [row for batch in batches for row in batch.label[0].asnumpy().tolist()]
        for name, batches in iterators.items()
    }


def mxnet_writes(folder: Path) -> None:
    import mxnet as mx

    rows = json.loads((folder / "rows.json").read_text())
    rec, idx = str(folder / "mxnet.rec"), str(folder / "mxnet.idx")
    writer = mx.recordio.MXIndexedRecordIO(idx, rec, "w")
    for row in rows:
        header = mx.recordio.IRHeader(0, row["labels"], row["id"], row["id2"])
        data = (folder / row["file"]).read_bytes()
        writer.write_idx(row["key"], mx.recordio.pack(header, data))
    writer.close()
    lines = ["\t".join(map(str, [row["key"], *row["labels"], row["file"]])) for row in rows]
    im2rec = [sys.executable, str(Path(mx.__file__).parent / "tools" / "im2rec.py"), "--pack-label"]
    for name, extra in (("passed", ["--pass-through"]), ("encoded", ["--num-thread", "2"])):
        (folder / f"{name}.lst").write_text("\n".join(lines) + "\n")
        command = [*im2rec, *extra, str(folder / f"{name}.lst"), str(folder)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=LONGEST)


# Timing


def measure(folder: Path, python: str, records: int, rounds: int) -> None:
    """Time both sides in turns and print the table."""
    from hangtag.dataset.recordio import RecordWriter

    with RecordWriter(folder / "speed.rec") as writer:
        for number, (labels, data) in enumerate(synthetic(records)):
            writer.write(number, labels, data, id=number)
    size = (folder / "speed.rec").stat().st_size
    (folder / "records").write_text(str(records))
    print(f"\n{records} records, {size / 1e6:.0f} MB, 334 labels, files in memory, {rounds} rounds")
    print(f"{'':28}{'hangtag s':>11}{'MXNet s':>11}{'MXNet / hangtag':>17}")
    for task, title in TASKS.items():
        times: dict[str, list[float]] = {"hangtag": [], "mxnet": []}
        for turn in range(rounds + 1):
            for side, runner in (("hangtag", sys.executable), ("mxnet", python)):
                seconds = step(runner, f"{side}_{task}", folder)
                if turn:  # the first turn only warms the file cache
                    times[side].append(seconds)
        ours, theirs = (statistics.median(times[side]) for side in ("hangtag", "mxnet"))
        print(f"{title:28}{ours:11.3f}{theirs:11.3f}{theirs / ours:17.2f}", flush=True)


def synthetic(records: int) -> Iterator[tuple[Any, bytes]]:
    """Yield 334 labels and 8 to 32 kB of noise per record, the same in every process."""
    import numpy as np

    rng = np.random.RandomState(0)
    noise = rng.bytes(64_000)
    for _ in range(records):
        begin, size = rng.randint(0, 32_000), rng.randint(8_000, 32_000)
        yield (rng.rand(334) < 0.02).astype(np.float32), noise[begin : begin + size]


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def hangtag_read(folder: Path, shuffle: bool = False) -> float:
    from hangtag.dataset.recordio import RecordReader

    def work() -> None:
        with RecordReader(folder / "speed.rec") as reader:
            if shuffle:
                for key in random.Random(0).sample(reader.keys, len(reader)):
                    reader.read_key(key)
            else:
                for _ in reader:
                    pass

    return timed(work)


def hangtag_labels(folder: Path) -> float:
    from hangtag.dataset.recordio import RecordReader

    return timed(lambda: RecordReader(folder / "speed.rec").labels())


def hangtag_write(folder: Path) -> float:
    from hangtag.dataset.recordio import RecordWriter

    rows = list(synthetic(int((folder / "records").read_text())))

    def work() -> None:
        with RecordWriter(folder / "hangtag_speed.rec") as writer:
            for number, (labels, data) in enumerate(rows):
                writer.write(number, labels, data, id=number)

    return timed(work)


def mxnet_read(folder: Path, shuffle: bool = False) -> float:
    from mxnet.recordio import MXIndexedRecordIO, unpack

    def work() -> None:
        reader = MXIndexedRecordIO(str(folder / "speed.idx"), str(folder / "speed.rec"), "r")
        if shuffle:
            for key in random.Random(0).sample(reader.keys, len(reader.keys)):
                unpack(reader.read_idx(key))
        else:
            while (packed := reader.read()) is not None:
                unpack(packed)

    return timed(work)


def mxnet_labels(folder: Path) -> float:
    import numpy as np
    from mxnet.recordio import MXRecordIO, unpack

    def work() -> None:
        # MXNet has no call for the labels alone: its records must be read whole.
        reader = MXRecordIO(str(folder / "speed.rec"), "r")
        labels = []
        while (packed := reader.read()) is not None:
            labels.append(unpack(packed)[0].label.copy())
        np.stack(labels)

    return timed(work)


def mxnet_write(folder: Path) -> float:
    from mxnet.recordio import IRHeader, MXIndexedRecordIO, pack

    rows = list(synthetic(int((folder / "records").read_text())))

    def work() -> None:
        target = folder / "mxnet_speed"
        writer = MXIndexedRecordIO(f"{target}.idx", f"{target}.rec", "w")
        for number, (labels, data) in enumerate(rows):
            writer.write_idx(number, pack(IRHeader(0, labels, number, 0), data))
        writer.close()

    return timed(work)


STEPS: dict[str, Callable[[Path], object]] = {
    "mxnet_reads": mxnet_reads,
    "mxnet_writes": mxnet_writes,
    "hangtag_read": hangtag_read,
    "hangtag_keys": lambda folder: hangtag_read(folder, shuffle=True),
    "hangtag_labels": hangtag_labels,
    "hangtag_write": hangtag_write,
    "mxnet_read": mxnet_read,
    "mxnet_keys": lambda folder: mxnet_read(folder, shuffle=True),
    "mxnet_labels": mxnet_labels,
    "mxnet_write": mxnet_write,
}

if __name__ == "__main__":
    main()
