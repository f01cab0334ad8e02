"""What stopping trials early costs and saves: a study with pruning beside one without.

    python benchmarks/tuning.py runs/real/emoji/dataset runs/real/openclipart-png/dataset \
        --out runs/tuning

Both studies of a dataset have the same seed, and so the same first ten trials after the defaults.
Costs, with the settings below, about 25 minutes a dataset on two cores. A study that has run is not
run again.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

HANGTAG = str(Path(sys.executable).with_name("hangtag"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("datasets", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/tuning"))
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument(
        "--train", default="--backbone resnet10t --input-size 40 --epochs 9 --precision bf16"
    )
    options = parser.parse_args()
    print(
        "| dataset | study | trials | stopped early | full trainings | minutes | defaults | best |"
        " gain |\n" + "|---" * 9 + "|"
    )
    for dataset in options.datasets:
        for kind in ("prune", "no-prune"):
            study = options.out / f"{dataset.resolve().parent.name}-{kind}"
            found = tuned(dataset, study, options.trials, [f"--{kind}", *options.train.split()])
            print(
                f"| {dataset.resolve().parent.name} | {kind} | {found['trials']} "
                f"| {found['pruned']} | {found['trainings']:.1f} | {60 * found['hours']:.0f} "
                f"| {found['defaults']:.4f} | {found['best']:.4f} "
                f"| {found['best'] - found['defaults']:+.4f} |",
                flush=True,
            )


def tuned(dataset: Path, study: Path, trials: int, options: list[str]) -> dict[str, float]:
    """Run or resume a study; return what `--json` says."""
    command = [HANGTAG, "tune", str(dataset), str(study), "--trials", str(trials), "--json"]
    answer = subprocess.run(
        [*command, *options], stdout=subprocess.PIPE, check=True, text=True, timeout=24 * 3600
    )
    return json.loads(answer.stdout)


if __name__ == "__main__":
    main()
