"""Kill -9 at ten random moments of pack and of train: does the same command end the same?

    python benchmarks/kills.py --out runs/kills

Draws the sample library, packs and trains it once undisturbed (a small network, fp32, three
epochs), then again with ten kills each, spread at random over the time that the undisturbed run
took. Compares every file of the result byte for byte. Costs about six minutes.
"""

import argparse
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

HANGTAG = str(Path(sys.executable).with_name("hangtag"))
KILLS = 10
LONGEST = 3600  # seconds for one command
TRAIN = [
    "--backbone",
    "test_resnet",
    "--input-size",
    "64",
    "--epochs",
    "12",
    "--precision",
    "fp32",
    "--checkpoint-minutes",
    "0.02",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/kills"))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    out, rng = options.out, random.Random(options.seed)
    shutil.rmtree(out, ignore_errors=True)
    hangtag("sample", str(out / "library"))
    catalog = str(out / "library" / "designs.csv")
    print(
        "| stage | kills | undisturbed s | all runs s | files that differ |\n|---|---|---|---|---|"
    )
    for stage, command in (
        ("pack", lambda target: ["pack", catalog, target, "--quiet"]),
        ("train", lambda target: ["train", str(out / "pack-calm"), target, "--quiet", *TRAIN]),
    ):
        calm, disturbed = str(out / f"{stage}-calm"), str(out / f"{stage}-killed")
        start = time.monotonic()
        hangtag(*command(calm))
        took = time.monotonic() - start
        start = time.monotonic()
        kills = kill_often(command(disturbed), took, rng)
        hangtag(*command(disturbed))
        spent = time.monotonic() - start
        differing = ", ".join(differences(Path(calm), Path(disturbed))) or "none"
        print(f"| {stage} | {kills} | {took:.1f} | {spent:.1f} | {differing} |", flush=True)


def hangtag(*arguments: str) -> None:
    subprocess.run([HANGTAG, *arguments], check=True, stdout=subprocess.DEVNULL, timeout=LONGEST)


def kill_often(command: list[str], took: float, rng: random.Random) -> int:
    """Start the command until it was killed ten times, each after a random share of its time.

    Where it came to its end first, its folder is removed and it begins anew.
    """
    done = 0
    while done < KILLS:
        process = subprocess.Popen(
            [HANGTAG, *command], start_new_session=True, stdout=subprocess.DEVNULL
        )
        try:
            time.sleep(rng.uniform(0.1, 0.6) * took)
            if process.poll() is None:
                done += 1
            else:
                shutil.rmtree(command[2])
        finally:
            if process.poll() is None:
                subprocess.run(["pkill", "-9", "-s", str(process.pid)], check=False, timeout=60)
                process.kill()
                process.wait(60)
    return done


def differences(one: Path, other: Path) -> list[str]:
    """Name the files that are not equal; of history.csv all but the column of seconds counts."""
    names = {p.relative_to(f) for f in (one, other) for p in f.rglob("*") if p.is_file()}
    return sorted(str(name) for name in names if content(one / name) != content(other / name))


def content(path: Path) -> bytes | None:
    if not path.exists():
        return None
    if path.name != "history.csv":
        return path.read_bytes()
    return b"\n".join(line.rpartition(b",")[0] for line in path.read_bytes().splitlines())


if __name__ == "__main__":
    main()
