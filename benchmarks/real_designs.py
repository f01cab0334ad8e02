"""Real libraries from import to figures, one command a stage, as a user runs them.

    python benchmarks/real_designs.py --out runs/real emoji icons openclipart-png

Libraries: emoji and icons (folders with a designs.csv below --designs, with their own
split), openclipart-png and openclipart-svg (Debian's packages of that
name, installed under /usr/share/openclipart). Costs about 20 minutes per library with the default
settings, or --minutes, plus one to five for the rest. A stage that has run is not run again.
Prints a table.
"""

import argparse
import json
import sys
from pathlib import Path

from measure import Measured, run

HANGTAG = str(Path(sys.executable).with_name("hangtag"))
# Not a tag of any picture: a mark of the archive, or an author.
JUNK = Path(__file__).with_name("junk-tags.txt")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("libraries", nargs="+")
    parser.add_argument("--minutes", type=float, help="a budget instead of the default epochs")
    parser.add_argument("--train", default="", help="more options of `hangtag train`")
    parser.add_argument("--out", type=Path, default=Path("runs/real"))
    parser.add_argument("--designs", type=Path, default=Path("designs"))
    parser.add_argument("--openclipart", type=Path, default=Path("/usr/share/openclipart"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    rows = [through(name, options) for name in options.libraries]
    print(
        "| library | packed | left out | tags | split | macro mAP (95 %) | micro mAP | accuracy"
        " (tagging nothing) | pack s / MB | train min / MB | evaluate s |\n|" + "---|" * 11
    )
    print("\n".join(rows))


def through(name: str, options: argparse.Namespace) -> str:
    folder = options.out / name
    folder.mkdir(exist_ok=True)
    catalog = options.designs / name / "designs.csv"
    if name.startswith("openclipart-"):
        catalog = folder / "designs.csv"
        command = ["import", "openclipart", str(options.openclipart), "--out", str(catalog)]
        stage(folder, "import", [*command, "--prefer", name.rpartition("-")[2]])
    dataset, model = str(folder / "dataset"), str(folder / "model")
    pack = stage(folder, "pack", ["pack", str(catalog), dataset, "--drop", str(JUNK), "--json"])
    limits = options.train.split()
    if options.minutes:
        limits += ["--minutes", str(options.minutes)]
    train = stage(folder, "train", ["train", dataset, model, "--json", *limits])
    evaluate = stage(folder, "evaluate", ["evaluate", model, dataset, "--json"])
    packed, figures = json.loads(pack["out"]), json.loads(evaluate["out"])
    left_out = ", ".join(f"{n} {reason}" for reason, n in packed["rejected"].items()) or "none"
    cells = [
        name,
        f"{sum(packed['designs'].values()):,}",
        left_out,
        f"{figures['tags']:.0f}",
        figures["split"],
        f"{figures['macro_map']:.3f} ({figures['macro_map_low']:.3f} to "
        f"{figures['macro_map_high']:.3f})",
        f"{figures['micro_map']:.3f}",
        f"{figures['accuracy']:.4f} ({figures['tag_nothing_accuracy']:.4f})",
        f"{pack['seconds']:.0f} / {pack['peak_mb']:.0f}",
        f"{train['seconds'] / 60:.1f} / {train['peak_mb']:.0f}",
        f"{evaluate['seconds']:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def stage(folder: Path, name: str, arguments: list[str]) -> dict[str, float | str]:
    """Run one command, or take what it said when it ran before."""
    kept = folder / f"{name}.json"
    if not kept.exists():
        done: Measured = run([HANGTAG, *arguments])
        if done.code:
            sys.exit(f"hangtag {' '.join(arguments)}\n{done.err}")
        (folder / f"{name}.log").write_text(done.err)
        kept.write_text(
            json.dumps({"seconds": done.seconds, "peak_mb": done.peak_mb, "out": done.out})
        )
    return json.loads(kept.read_text())


if __name__ == "__main__":
    main()
