"""How well an audit finds tags that were hidden and tags that were made up, beside cleanlab.

    python benchmarks/audit.py runs/real/openclipart-png --out runs/audit

The folder holds `designs.csv` (or its path is given with --catalog) and `model`, as
`real_designs.py` leaves them. Of the model's tags 20 % are hidden at random and 5 % made up, and
every ranking sees the same scores, each by a head that has not seen the design or its group.
hangtag's also uses the design's other tags and those of its group; cleanlab's rankings take scores
alone. Precision counts as true only what was hidden or made up here: a tag that people had really
forgotten counts as a mistake, for every row. Needs cleanlab; takes two minutes on two cores.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from cleanlab.multilabel_classification.filter import find_multilabel_issues_per_class
from cleanlab.multilabel_classification.rank import get_label_quality_scores_per_class
from numpy.typing import NDArray

from hangtag.library.catalog import Catalog
from hangtag.quality.audit import audit, missing_confidence, wrong_confidence
from hangtag.quality.other_tags import with_other_tags
from hangtag.tagging.model_folder import ModelFolder
from hangtag.training.held_out import held_out

HIDDEN, MADE_UP = 0.2, 0.05
TOP = (100, 500, 1000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--catalog", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/audit"))
    parser.add_argument("--seed", type=int, default=0, help="chooses the mistakes")
    options = parser.parse_args()
    vocabulary = ModelFolder.open(options.folder / "model").vocabulary
    catalog = Catalog.read(options.catalog or options.folder / "designs.csv")
    spoilt, hidden, made_up = spoil(catalog, vocabulary.names, np.random.default_rng(options.seed))
    options.out.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    scored = held_out(options.folder / "model", spoilt, options.out)
    audit(scored, spoilt)
    print(f"audited in {time.monotonic() - began:.0f} s\n")
    packed, names, labels = scored.catalog, scored.tags, scored.labels
    rows = {design.image: n for n, design in enumerate(packed)}
    truth = {
        "missing": marked(hidden, rows, names) & (labels != 1),
        "wrong": marked(made_up, rows, names) & (labels == 1),
    }
    print(f"{len(packed):,} designs, {len(names)} tags, {truth['missing'].sum():,} hidden, "
          f"{truth['wrong'].sum():,} made up\n")  # fmt: skip
    print("| list | ranking | " + " | ".join(f"precision at {k}" for k in TOP) + " |")
    print("|" + "---|" * (2 + len(TOP)))
    for problem, rankings in ranked(scored.scores, labels, packed.group_numbers()).items():
        for name, confidence in rankings.items():
            order = np.argsort(-np.nan_to_num(confidence, nan=-np.inf), axis=None, kind="stable")
            found = truth[problem].ravel()[order]
            cells = " | ".join(f"{found[:k].mean():.3f}" for k in TOP)
            print(f"| {problem} | {name} | {cells} |")


def spoil(
    catalog: Catalog, names: tuple[str, ...], rng: np.random.Generator
) -> tuple[Catalog, set[tuple[str, str]], set[tuple[str, str]]]:
    """Hide and make up tags; return the catalog and both sets of (image, tag)."""
    known = set(names)
    hidden, made_up, designs = set(), set(), []
    given = sum(len(known & set(design.tags)) for design in catalog)
    invent = MADE_UP * given / len(catalog)
    for design in catalog:
        gone = {t for t in design.tags if t in known and rng.random() < HIDDEN}
        if len(gone) == len(design.tags):
            gone = set()  # an untagged design would not be packed
        free = [name for name in names if name not in design.tags]
        new = {str(t) for t in rng.choice(free, rng.poisson(invent), replace=False)}
        hidden |= {(design.image, tag) for tag in gone}
        made_up |= {(design.image, tag) for tag in new}
        kept = tuple(tag for tag in design.tags if tag not in gone)
        designs.append(replace(design, tags=(*kept, *sorted(new)), split=""))
    return replace(catalog, designs=tuple(designs)), hidden, made_up


def marked(
    cells: set[tuple[str, str]], rows: dict[str, int], names: tuple[str, ...]
) -> NDArray[np.bool_]:
    column = {name: n for n, name in enumerate(names)}
    found = np.zeros((len(rows), len(names)), bool)
    for image, tag in cells:
        if image in rows:
            found[rows[image], column[tag]] = True
    return found


def ranked(
    scores: NDArray[np.float32],
    labels: NDArray[np.int8],
    groups: NDArray[np.intp],
) -> dict[str, dict[str, NDArray[np.floating]]]:
    """Return every ranking of the cells, (n, T), highest first, NaN for those left out."""
    yes, likely = labels == 1, with_other_tags(scores, labels, groups)
    lists = [np.flatnonzero(row).tolist() for row in yes]
    values = np.clip(scores.astype(np.float64), 1e-6, 1 - 1e-6)
    quality = np.array(get_label_quality_scores_per_class(lists, values))
    found: dict[str, dict[str, NDArray[np.floating]]] = {
        "missing": {
            "hangtag": missing_confidence(likely, labels),
            "hangtag, by pictures alone": missing_confidence(scores, labels),
            "cleanlab label quality": np.where(yes, np.nan, 1 - quality),
        },
        "wrong": {
            "hangtag": wrong_confidence(likely, labels),
            "hangtag, by pictures alone": wrong_confidence(scores, labels),
            "cleanlab label quality": np.where(yes, 1 - quality, np.nan),
        },
    }
    for adjusted in ("confidence_weighted_entropy", "normalized_margin"):
        other = np.array(get_label_quality_scores_per_class(lists, values, method=adjusted))
        found["missing"][f"cleanlab {adjusted}"] = np.where(yes, np.nan, 1 - other)
        found["wrong"][f"cleanlab {adjusted}"] = np.where(yes, 1 - other, np.nan)
    issues = find_multilabel_issues_per_class(lists, values)
    # cleanlab's own issues first, in its order of quality within.
    flagged = np.array(issues) + 0.0
    found["missing"]["cleanlab issues"] = np.where(yes, np.nan, flagged + 1 - quality)
    found["wrong"]["cleanlab issues"] = np.where(yes, flagged + 1 - quality, np.nan)
    return found


if __name__ == "__main__":
    main()
