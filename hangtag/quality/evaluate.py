"""MODEL/ + DATASET/ -> metrics.json: how good the exported model is, through Tagger.

hangtag evaluate MODEL DATASET
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hangtag.console import note, track
from hangtag.dataset.dataset_folder import DatasetFolder
from hangtag.errors import DatasetError, ImageError
from hangtag.files import read_text, write_text
from hangtag.quality import metrics
from hangtag.tagging.model_folder import METRICS_FILE
from hangtag.tagging.tagger import BATCH, Tagger

RESAMPLES: Final = 1000


@dataclass(frozen=True)
class Evaluation:
    """What was measured on one split."""

    split: str
    figures: dict[str, float | None]
    """By name; `macro_map` leads. None where there was nothing to measure."""
    per_tag: list[dict[str, Any]]
    """tag, `designs` that have it here, `average_precision` (None without any), `threshold`,
    precision, recall and F1 at it."""

    def as_json(self) -> dict[str, Any]:
        """Return all as one flat JSON object, the tags under `per_tag`."""
        return {"split": self.split, **self.figures, "per_tag": self.per_tag}


def evaluate(
    model: Path, dataset: Path, *, split: str | None = None, tags_file: Path | None = None
) -> Evaluation:
    """Measure a model folder on a split of a packed dataset and note it in metrics.json.

    `split` None takes test, or validation where there is none. Tags are matched by name: the
    dataset may have been packed again since. Raises ModelError, DatasetError.
    """
    tagger = Tagger.open(model)
    folder = DatasetFolder.open(dataset, tags_file)
    split = split or ("test" if "test" in folder.splits() else "validation")
    if split == "validation":
        note("validation also chose the epoch and the thresholds; a test split is more honest")
    if tagger.folder.dataset.get("pack") != folder.fingerprint():
        note("the model learned from another packing of designs; it may have seen some of these")
    labels = _labels_for(tagger, folder, split)
    groups = _groups(folder, split)
    scores, kept = split_scores(tagger, folder, split)
    evaluation = _measure(
        tagger, split, scores, labels[kept], None if groups is None else groups[kept]
    )
    _remember(model / METRICS_FILE, evaluation)
    return evaluation


def split_scores(
    tagger: Tagger, folder: DatasetFolder, split: str
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return float32 (n, T), the scores of a split through Tagger, and int64 (n,), their records.

    Records hold the design as `decode` gave it at packing, so the input is the file's own. Images
    that cannot be decoded are left out. Raises DatasetError where none is left.
    """
    found, kept = [], []
    with folder.records(split) as records:
        for start in track(
            range(0, len(records), BATCH), f"scoring {split}", -(-len(records) // BATCH)
        ):
            squares = []
            for row in range(start, min(start + BATCH, len(records))):
                try:
                    squares.append(tagger.square(records[row].data))
                    kept.append(row)
                except ImageError as error:
                    note(f"left out record {row} of {split}: {error}")
            found.append(tagger.scores(squares))
    if not kept:
        raise DatasetError(f"the {split} split of {folder.path} has no readable design")
    return np.concatenate(found), np.array(kept)


def _labels_for(tagger: Tagger, folder: DatasetFolder, split: str) -> NDArray[np.int8]:
    """Return a split's labels in the order of the model's tags; -1 where it has no such tag."""
    labels = folder.judged_labels(split)
    column = {name: n for n, name in enumerate(folder.vocabulary.names)}
    names = tagger.vocabulary.names
    common = [name for name in names if name in column]
    if not common:
        raise DatasetError(f"{folder.path} and the model have no tag in common")
    if len(common) < len(names):
        note(f"{len(names) - len(common)} of the model's {len(names)} tags are not in the dataset")
    found = np.full((len(labels), len(names)), -1, np.int8)
    for n, name in enumerate(names):
        if name in column:
            found[:, n] = labels[:, column[name]]
    return found


def _groups(folder: DatasetFolder, split: str) -> NDArray[np.int64] | None:
    """Return the group of every record, by which the bootstrap resamples; None for the seed's."""
    catalog = folder.designs()
    if catalog is None:
        return None
    names = [design.group for design in catalog if design.split == split]
    return np.unique(names, return_inverse=True)[1].astype(np.int64)


def _measure(
    tagger: Tagger,
    split: str,
    scores: NDArray[np.float32],
    labels: NDArray[np.int8],
    groups: NDArray[np.int64] | None,
) -> Evaluation:
    limits = tagger.thresholds
    figures = dict(metrics.summary(scores, labels, limits))
    intervals = metrics.bootstrap_interval(scores, labels, groups, resamples=RESAMPLES)
    for name, (low, high) in intervals.items():
        figures[f"{name}_low"], figures[f"{name}_high"] = low, high
    counts = metrics.count(scores, labels, limits)
    f1 = metrics.f1_per_tag(counts)
    precisions = metrics.average_precision(scores, labels)
    per_tag = [
        {
            "tag": tag.name,
            "designs": int(counts.yes[n]),
            "average_precision": _finite(precisions[n]),
            "threshold": float(limits[n]),
            "precision": _finite(counts.right[n] / counts.suggested[n])
            if counts.suggested[n]
            else None,
            "recall": _finite(counts.right[n] / counts.yes[n]) if counts.yes[n] else None,
            "f1": _finite(f1[n]),
        }
        for n, tag in enumerate(tagger.vocabulary.tags)
    ]
    return Evaluation(split, {name: _finite(value) for name, value in figures.items()}, per_tag)


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _remember(path: Path, evaluation: Evaluation) -> None:
    """Put an evaluation into metrics.json, beside those of the other splits."""
    kept = json.loads(read_text(path, DatasetError)) if path.exists() else {}
    kept[evaluation.split] = evaluation.as_json()
    write_text(path, json.dumps(kept, indent=1, allow_nan=False) + "\n")


def table_lines(evaluation: Evaluation, tags: int = 12) -> Iterator[str]:
    """Yield the lines that the command line shows: the figures, the best and the worst tags."""
    figures = {name: math.nan if v is None else v for name, v in evaluation.figures.items()}
    designs, count = int(figures["designs"]), int(figures["tags"])
    yield f"{evaluation.split}: {designs:,} designs, {count:,} tags"
    low, high = figures["macro_map_low"], figures["macro_map_high"]
    interval = f"95 % interval {low:.4f} to {high:.4f}"
    yield f"macro mAP              {figures['macro_map']:.4f}   ({interval})"
    yield f"micro mAP              {figures['micro_map']:.4f}"
    yield f"F1 at the thresholds   macro {figures['macro_f1']:.4f}, micro {figures['micro_f1']:.4f}"
    at = ", ".join(f"{k}: {figures[f'precision_at_{k}']:.4f}" for k in (1, 3, 5))
    yield f"precision at           {at}"
    nothing = figures["tag_nothing_accuracy"]
    yield f"element-wise accuracy  {figures['accuracy']:.4f}   (tagging nothing: {nothing:.4f})"
    known = [row for row in evaluation.per_tag if row["average_precision"] is not None]
    known.sort(key=lambda row: -row["average_precision"])
    shown = known if len(known) <= 2 * tags else known[:tags] + known[-tags:]
    width = max((len(row["tag"]) for row in shown), default=3)
    yield ""
    yield f"{'tag':{width}}  designs  average precision     F1"
    for place, row in enumerate(shown):
        if place == tags and len(shown) < len(known):
            yield f"... {len(known) - len(shown)} more in {METRICS_FILE} ..."
        yield (
            f"{row['tag']:{width}}  {row['designs']:7,}  {row['average_precision']:17.4f}"
            f"  {row['f1']:.4f}"
        )
