"""Every command: how long it takes to start, and its time and memory on a sample library.

    python benchmarks/commands.py [--designs 400] [--folder DIR]

Start-up: median wall time of `hangtag COMMAND --help`, in milliseconds, with whatever the machine
does besides. Memory: peak of the command and its worker processes, sampled every 20 ms (Linux).
A command that fails, for want of an extra for instance, gets its message. Takes two minutes on two
idle cores. Expected: --help under 300 ms, no command of the base install above 1 GB.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import measure

HANGTAG = [sys.executable, "-m", "hangtag"]
# One after the other, in one folder. The first is the command's name.
STEPS = (
    "demo demo",
    "sample library --designs {designs}",
    "import folder library/designs --out imported.csv",
    "vocabulary suggest library/designs.csv",
    "pack library/designs.csv dataset",
    "train dataset model",
    "tune dataset study --trials 2",
    "study study",
    "evaluate model dataset",
    "compare model model dataset",
    "tag model library/designs --out tags.jsonl",
    "audit model library/designs.csv --out audit.csv",
    "salvage dataset/training/train.rec salvaged.rec",
    "doctor",
)
SERVERS = ("serve model", "review model library/designs.csv")
ONLY_HELP = ("", "import-model", "sagemaker")


def started(command: str, rounds: int) -> float:
    """Return the median time of a command's help in milliseconds, after one that warms up."""
    times = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        subprocess.run(
            [*HANGTAG, *command.split(), "--help"],
            check=True, stdout=subprocess.DEVNULL, timeout=120,
        )  # fmt: skip
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times[1:])


def served(command: str) -> tuple[str, str]:
    """Return the seconds until a server says where it is, and its memory then."""
    begun = time.perf_counter()
    process = subprocess.Popen(
        [*HANGTAG, *command.split(), "--port", "0"], stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if " at http://" in line:
                seconds = time.perf_counter() - begun
                return f"{seconds:.1f}, until it answers", f"{measure.memory_mb(process.pid):.0f}"
    finally:
        process.terminate()
        process.wait(60)
    return "failed", ""


def finished(command: str) -> tuple[str, str]:
    """Return the seconds that a command takes, or why it did not, and its memory."""
    done = measure.run([*HANGTAG, *command.split()], every=0.02)
    if done.code == 0:
        return f"{done.seconds:.1f}", f"{done.peak_mb:.0f}"
    return f"failed: {done.err.strip().splitlines()[-1]}", ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--designs", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=7, help="starts of each command")
    parser.add_argument("--folder", type=Path, help="an empty folder to work in")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        os.chdir(options.folder or temporary)
        print("| command | start-up, ms | seconds | peak memory, MB |")
        print("|---|---|---|---|")
        for command in ONLY_HELP:
            show(command, options.rounds)
        for command in STEPS:
            command = command.format(designs=options.designs)
            show(name_of(command), options.rounds, *finished(command))
        for command in SERVERS:
            show(name_of(command), options.rounds, *served(command))


def name_of(command: str) -> str:
    """Return the name of the command in a line, which may be two words."""
    words = command.split()
    return " ".join(words[: 2 if words[0] == "vocabulary" else 1])


def show(name: str, rounds: int, seconds: str = "", memory: str = "") -> None:
    """Print a row of the table."""
    row = ("`" + f"hangtag {name}".strip() + "`", f"{started(name, rounds):.0f}", seconds, memory)
    print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
