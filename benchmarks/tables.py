"""Runs the comparisons of speed and writes their tables into docs/benchmarks.md.

    python benchmarks/tables.py [--quick] [--designs /usr/share/openclipart]

The folder is that of Debian's openclipart-png and openclipart-svg, which are imported, packed and
learned first, into runs/bench (two minutes, once; so is an environment with MXNet). Then half an
hour, or with --quick three minutes: fewer designs, fewer rounds and only what users wait for most.
Run it on an idle machine.
"""

import argparse
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "benchmarks.md"
LONGEST = 3600  # seconds for one script


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--designs", type=Path, default=Path("/usr/share/openclipart"))
    parser.add_argument("--work", type=Path, default=HERE.parent / "runs" / "bench")
    options = parser.parse_args()
    dataset, model = learned(options.designs, options.work)
    speed = ["throughput.py", options.designs, "--model", model]
    commands: dict[str, list[object]] = {
        "throughput": [*speed, "--count", 1000, "--rounds", 2] if options.quick else speed,
        "batches": ["batches.py", dataset, *(["--rounds", 1] if options.quick else [])],
    }
    if not options.quick:
        commands |= {
            "batches 224": ["batches.py", dataset, "--size", 224],
            "images": ["images.py", options.designs, 300],
            "recordio": ["recordio_mxnet.py"],
            "metrics": ["metrics_speed.py"],
        }
    for name, command in commands.items():
        print(f"{name}: {' '.join(map(str, command))}", flush=True)
        table = table_of(run([sys.executable, HERE / str(command[0]), *command[1:]]))
        print(table, flush=True)
        write(name, table)


def learned(designs: Path, work: Path) -> tuple[Path, Path]:
    """Return a dataset and a model of the designs, made if they are not there yet."""
    hangtag = Path(sys.executable).with_name("hangtag")
    catalog, dataset, model = work / "designs.csv", work / "dataset", work / "model"
    work.mkdir(parents=True, exist_ok=True)
    if not catalog.exists():
        run([hangtag, "import", "openclipart", designs, "--out", catalog, "--prefer", "png"])
    junk = HERE / "junk-tags.txt"
    run([hangtag, "pack", catalog, dataset, "--drop", junk, "--quiet"])
    run([hangtag, "train", dataset, model, "--quiet"])
    return dataset, model


def run(command: list[object]) -> str:
    """Return what a command printed; end with its errors if it failed."""
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, timeout=LONGEST, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stderr[-2000:]}")
    return done.stdout


def table_of(printed: str) -> str:
    """Return the first table of what a script printed."""
    lines = printed.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("|"))
    rest = lines[start:]
    end = next((n for n, line in enumerate(rest) if not line.startswith("|")), len(rest))
    return "\n".join(rest[:end])


def write(name: str, table: str) -> None:
    """Put a table between its marks in the page, with the date."""
    page = PAGE.read_text()
    begin, end = f"<!-- table: {name} -->", "<!-- end -->"
    today = f"{datetime.now(UTC):%-d %B %Y}"
    pattern = re.compile(f"{re.escape(begin)}.*?{end}", re.S)
    if not pattern.search(page):
        sys.exit(f"{PAGE} has no {begin}")
    PAGE.write_text(
        pattern.sub(lambda _: f"{begin}\n{today}, two cores.\n\n{table}\n\n{end}", page)
    )


if __name__ == "__main__":
    main()
