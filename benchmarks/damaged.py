"""200 damaged copies of real designs among 2,000: are exactly the unreadable ones left out?

    python benchmarks/damaged.py --out runs/damaged

Takes 2,000 PNGs of the emoji library (--designs, by default designs/emoji) and damages every tenth:
bit flips, truncation, a wrong extension, zero bytes, a huge size in the header. Which of them are
readable is judged by another decoder, libpng by way of ImageMagick (`convert`, which must be
installed): a file that it reads without any complaint is whole. Packs, trains a short run and
evaluates. Costs about three minutes.
"""

import argparse
import csv
import json
import random
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path

HANGTAG = str(Path(sys.executable).with_name("hangtag"))
DAMAGES = ("bit flips", "truncation", "wrong extension", "zero bytes", "huge header")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/damaged"))
    parser.add_argument("--designs", type=Path, default=Path("designs/emoji"))
    options = parser.parse_args()
    shutil.rmtree(options.out, ignore_errors=True)
    (options.out / "images").mkdir(parents=True)
    damaged = make(options.designs, options.out)
    dataset, model = str(options.out / "dataset"), str(options.out / "model")
    catalog = str(options.out / "designs.csv")
    packed = hangtag("pack", catalog, dataset, "--json", "--min-count", "10")
    tiny = ("--backbone", "test_resnet", "--input-size", "32", "--epochs", "2")
    hangtag("train", dataset, model, "--json", *tiny)
    figures = json.loads(hangtag("evaluate", model, dataset, "--json"))
    with (options.out / "dataset" / "rejected.csv").open(newline="") as file:
        rejected = {row["image"]: row["reason"] for row in csv.DictReader(file)}
    print(
        "| damage | copies | unreadable | left out | readable yet left out | unreadable yet kept |"
    )
    print("|---|---|---|---|---|---|")
    for kind in DAMAGES:
        names = [name for name, how in damaged.items() if how == kind]
        bad = {name for name in names if not readable(options.out / name)}
        out = {name for name in names if name in rejected}
        print(
            f"| {kind} | {len(names)} | {len(bad)} | {len(out)} "
            f"| {len(out - bad)} | {len(bad - out)} |"
        )
    others = sorted(set(rejected) - set(damaged))
    print(f"\nwhole designs left out: {len(others)}; summary: {packed.strip()}")
    print(f"evaluated: macro mAP {figures['macro_map']:.3f} on {figures['designs']:.0f} designs")


def hangtag(*arguments: str) -> str:
    command = [HANGTAG, *arguments, "--quiet"]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=3600).stdout


def make(designs: Path, out: Path) -> dict[str, str]:
    """Write 2,000 designs, every tenth of them damaged; return {image: damage}."""
    with (designs / "designs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    rng = random.Random(0)
    rng.shuffle(rows)
    damaged: dict[str, str] = {}
    with (out / "designs.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("image", "tags"))
        for number, row in enumerate(rows[:2000]):
            data = (designs / row["image"]).read_bytes()
            name = f"images/{number:04d}.png"
            if number % 10 == 0:
                kind = DAMAGES[number // 10 % len(DAMAGES)]
                name = name.replace(".png", ".jpg") if kind == "wrong extension" else name
                data = damage(data, kind, rng)
                damaged[name] = kind
            (out / name).write_bytes(data)
            writer.writerow((name, row["tags"]))
    return damaged


def damage(data: bytes, kind: str, rng: random.Random) -> bytes:
    if kind == "bit flips":
        flipped = bytearray(data)
        for _ in range(3):
            flipped[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        return bytes(flipped)
    if kind == "truncation":
        return data[: rng.randrange(1, len(data))]
    if kind == "zero bytes":
        at = rng.randrange(len(data) - 40)
        return b"" if rng.random() < 0.5 else data[:at] + bytes(40) + data[at + 40 :]
    if kind == "huge header":
        header = b"IHDR" + struct.pack(">II", 400_000, 400_000) + data[24:29]
        return data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]
    return data


def readable(path: Path) -> bool:
    """Return whether libpng reads the file without any complaint."""
    command = ["convert", f"png:{path}", "null:"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode == 0 and not done.stderr.strip()


if __name__ == "__main__":
    main()
