"""MODEL/ + DATASET/ -> metrics.json: how good the exported model is, through Tagger.

hangtag evaluate MODEL DATASET
"""

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hangtag import __version__
from hangtag.console import note, track
from hangtag.dataset.dataset_folder import Dataset
from hangtag.errors import DatasetError, ImageError
from hangtag.quality import metrics
from hangtag.storage.addresses import address_of
from hangtag.storage.files import write_text
from hangtag.storage.locks import one_at_a_time
from hangtag.tagging.model_folder import METRICS_FILE
from hangtag.tagging.tagger import BATCH, Tagger

RESAMPLES: Final = 1000
METRICS_FORMAT: Final = 2


@dataclass(frozen=True, eq=False)
class Scored:
    """A split as a model scores it: n designs that can be read, T tags in the model's order."""

    tagger: Tagger
    folder: Dataset
    split: str
    records: NDArray[np.int64]
    """(n,), the records of the split."""
    scores: NDArray[np.float32]
    """(n, T), calibrated."""
    labels: NDArray[np.int8]
    """(n, T), as `Dataset.judged_labels` gives them; -1 for tags that the dataset lacks."""
    groups: NDArray[np.int64] | None
    """(n,), by which the bootstrap draws; None for a dataset of the seed's."""

    @property
    def suggested(self) -> NDArray[np.bool_]:
        """(n, T): the tags that the model suggests."""
        return self.tagger.chosen(self.scores, self.tagger.thresholds)

    @property
    def applied(self) -> NDArray[np.bool_]:
        """(n, T): the tags that the model would put on unasked."""
        return self.tagger.chosen(self.scores, self.tagger.apply_thresholds)


@dataclass(frozen=True)
class MeasuredOn:
    """The dataset of an evaluation."""

    name: str
    """Its folder's, to be known by."""
    path: str
    """Where it lay: absolute, or an `s3://` address."""
    fingerprint: str
    designs: dict[str, int]
    """Per split, as packed."""

    @classmethod
    def of(cls, folder: Dataset) -> "MeasuredOn":
        """Return what there is to say of a dataset."""
        path = folder.path.resolve()
        address = address_of(str(path))
        name = address.rpartition("/")[2] if address else path.name
        counts = folder.info.designs or {split: _count(folder, split) for split in folder.splits()}
        return cls(name, address or str(path), folder.fingerprint(), dict(counts))


def _count(folder: Dataset, split: str) -> int:
    with folder.records(split) as records:
        return len(records)


@dataclass(frozen=True)
class Evaluation:
    """What was measured on one split of a dataset."""

    split: str
    dataset: MeasuredOn
    when: str
    """Date and time in UTC, ISO 8601."""
    figures: dict[str, float | None]
    """By name; `macro_map` leads. None where there was nothing to measure."""
    per_tag: list[dict[str, Any]]
    """tag, `designs` that have it here, `average_precision` with its 95 % interval (None without
    any), `threshold`, precision, recall and F1 at it, and the same for `apply_threshold`."""

    def as_json(self) -> dict[str, Any]:
        """Return all as one JSON object: what was measured on what, the figures, `per_tag`."""
        return {
            "split": self.split,
            "dataset": asdict(self.dataset),
            "when": self.when,
            "hangtag": __version__,
            **self.figures,
            "per_tag": self.per_tag,
        }


def evaluate(
    model: Path,
    dataset: Dataset | Path,
    *,
    split: str | None = None,
    tags_file: Path | None = None,
) -> tuple[Evaluation, Scored]:
    """Measure a model folder on a split of a packed dataset and note it in metrics.json.

    It takes the place of an earlier evaluation on the same split of the same dataset only.
    `split` None takes test, or validation where there is none. Tags are matched by name: the
    dataset may have been packed again since. Raises ModelError, DatasetError.
    """
    scored = score(Tagger.open(model), Dataset.open(dataset, tags_file), split)
    evaluation = measure(scored)
    _remember(model / METRICS_FILE, evaluation)
    return evaluation, scored


def score(tagger: Tagger, folder: Dataset, split: str | None = None) -> Scored:
    """Score a split of a dataset; notes say where its figures will be too good.

    `split` None takes test, or validation where there is none. Raises DatasetError.
    """
    split = split or ("test" if "test" in folder.splits() else "validation")
    if split == "validation":
        note("validation also chose the epoch and the thresholds; a test split is more honest")
    if not learned_from(tagger, folder):
        note("the model learned from another packing of designs; it may have seen some of these")
    labels, groups = _labels_for(tagger, folder, split), _groups(folder, split)
    scores, kept = split_scores(tagger, folder, split)
    return Scored(
        tagger, folder, split, kept, scores, labels[kept], None if groups is None else groups[kept]
    )


def learned_from(tagger: Tagger, folder: Dataset) -> bool:
    """Tell whether a model learned from this very dataset, whose test part it has not seen then."""
    noted = tagger.folder.dataset
    return folder.was_known_as(str(noted.get("fingerprint", noted.get("pack", ""))))


def split_scores(
    tagger: Tagger, folder: Dataset, split: str
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
            inputs = []
            for row in range(start, min(start + BATCH, len(records))):
                try:
                    inputs.append(tagger.input_of(records[row].data))
                    kept.append(row)
                except ImageError as error:
                    note(f"left out record {row} of {split}: {error}")
            found.append(tagger.scores(inputs))
    if not kept:
        raise DatasetError(f"the {split} split of {folder.path} has no readable design")
    return np.concatenate(found), np.array(kept)


def _labels_for(tagger: Tagger, folder: Dataset, split: str) -> NDArray[np.int8]:
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


def _groups(folder: Dataset, split: str) -> NDArray[np.int64] | None:
    """Return the group of every record, by which the bootstrap resamples; None for the seed's."""
    catalog = folder.designs()
    if catalog is None:
        return None
    return catalog.group_numbers()[[design.split == split for design in catalog]]


def measure(scored: Scored) -> Evaluation:
    """Measure a scored split."""
    scores, labels = scored.scores, scored.labels
    suggested, applied = scored.suggested, scored.applied
    figures = dict(metrics.summary(scores, labels, suggested))
    sure = metrics.count_chosen(applied, labels)
    figures |= {
        "apply_precision": metrics.precision(sure),
        "apply_recall": metrics.recall(sure),
        "applied": int(sure.suggested.sum()),
        "tags_with_apply_threshold": int(np.isfinite(scored.tagger.apply_thresholds).sum()),
    }
    if (labels < 0).any():
        # Where somebody reviewed, unknown cells say nothing; beside it, as if they were a no.
        no = np.where((labels < 0) & (labels == 1).any(axis=0), 0, labels).astype(np.int8)
        figures["macro_map_unknown_as_no"] = metrics.macro_map(scores, no)
        figures["micro_map_unknown_as_no"] = metrics.micro_map(scores, no)
    drawn = metrics.resample(scores, labels, scored.groups, resamples=RESAMPLES)
    for name, values in (("macro_map", drawn.macro), ("micro_map", drawn.micro)):
        low, high = metrics.interval(values, figures[name])
        figures[f"{name}_low"], figures[f"{name}_high"] = np.clip((low, high), 0, 1)
    return Evaluation(
        scored.split,
        MeasuredOn.of(scored.folder),
        datetime.now(UTC).isoformat(timespec="seconds"),
        {name: _finite(value) for name, value in figures.items()},
        list(_per_tag(scored, drawn, metrics.count_chosen(suggested, labels), sure)),
    )


def _per_tag(
    scored: Scored, drawn: metrics.Resampled, counts: metrics.Counts, sure: metrics.Counts
) -> Iterator[dict[str, Any]]:
    f1 = metrics.f1_per_tag(counts)
    precisions = metrics.average_precision(scored.scores, scored.labels)
    for n, tag in enumerate(scored.tagger.vocabulary.tags):
        low, high = metrics.interval(drawn.per_tag[n], precisions[n])
        yield {
            "tag": tag.name,
            "designs": int(counts.yes[n]),
            "average_precision": _finite(precisions[n]),
            "average_precision_low": _finite(np.clip(low, 0, 1)),
            "average_precision_high": _finite(np.clip(high, 0, 1)),
            "threshold": float(scored.tagger.thresholds[n]),
            "precision": _share(counts.right[n], counts.suggested[n]),
            "recall": _share(counts.right[n], counts.yes[n]),
            "f1": _finite(f1[n]),
            "apply_threshold": tag.apply_threshold,
            "apply_precision": _share(sure.right[n], sure.suggested[n]),
            "apply_recall": _share(sure.right[n], sure.yes[n]),
        }


def _share(part: int, whole: int) -> float | None:
    return float(part / whole) if whole else None


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _remember(path: Path, evaluation: Evaluation) -> None:
    """Put an evaluation into metrics.json, beside those of other splits and other datasets.

    Several processes may evaluate one model at the same time.
    """
    with one_at_a_time(path.with_name(f".{path.name}.lock"), path):
        new = evaluation.as_json()
        kept = [one for one in read_evaluations(path.parent) if not _is_about_the_same(one, new)]
        content = {"format": METRICS_FORMAT, "evaluations": [*kept, new]}
        write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def read_evaluations(model: Path) -> list[dict[str, Any]]:
    """Return the evaluations in MODEL/metrics.json, each as `Evaluation.as_json`, oldest first.

    Those of before November 2026 do not say on which dataset they were made: theirs is None. Of a
    damaged file there are none, and a note says so. Raises DatasetError for a format to come.
    """
    path = model / METRICS_FILE
    if not path.exists():
        return []
    try:
        found = json.loads(path.read_text("utf-8", errors="replace"))
        if "evaluations" not in found:  # figures by split
            return [{**one, "split": split, "dataset": None} for split, one in found.items()]
        evaluations = [dict(one) for one in found["evaluations"]]
    except (ValueError, TypeError, AttributeError):
        note(f"{path} was damaged: written anew")
        return []
    if found.get("format") != METRICS_FORMAT:
        raise DatasetError(
            f"{path} has format {found.get('format')}, this hangtag reads {METRICS_FORMAT}; "
            "install the version that wrote it, or move the file away"
        )
    return evaluations


def _is_about_the_same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    datasets = [of.get("dataset") or {} for of in (one, other)]
    prints = {dataset.get("fingerprint", id(dataset)) for dataset in datasets}
    return one.get("split") == other.get("split") and len(prints) == 1


def table_lines(evaluation: Evaluation, tags: int = 10) -> Iterator[str]:
    """Yield the lines of a terminal table: the figures, then the best and the worst `tags`."""
    figures = {
        name: math.nan if value is None else value for name, value in evaluation.figures.items()
    }
    on = f"{figures['designs']:,.0f} {evaluation.split} designs of {evaluation.dataset.name}"
    yield f"{on}, {figures['tags']:,.0f} tags"
    low, high = figures["macro_map_low"], figures["macro_map_high"]
    interval = f"95 % interval {low:.4f} to {high:.4f}"
    yield f"macro mAP              {figures['macro_map']:.4f}   ({interval})"
    yield f"micro mAP              {figures['micro_map']:.4f}"
    if "macro_map_unknown_as_no" in figures:
        macro, micro = (figures[f"{kind}_map_unknown_as_no"] for kind in ("macro", "micro"))
        yield f"  with unknown as no   {macro:.4f}, {micro:.4f}"
    yield f"F1 at the thresholds   macro {figures['macro_f1']:.4f}, micro {figures['micro_f1']:.4f}"
    right, found = figures["micro_precision"], figures["micro_recall"]
    yield f"suggested tags         {right:.1%} right, {found:.1%} of all tags found"
    if figures["applied"]:
        right, found = figures["apply_precision"], figures["apply_recall"]
        yield f"applied tags           {right:.1%} right, {found:.1%} of all tags found"
    else:
        yield "applied tags           none: no tag is sure enough to be put on unasked"
    at = ", ".join(f"{k}: {figures[f'precision_at_{k}']:.4f}" for k in (1, 3, 5))
    yield f"precision at           {at}"
    wrong, above = figures["calibration_error"], figures["calibration_error_above_0.1"]
    yield f"calibration error      {wrong:.4f} (scores above 0.1: {above:.4f})"
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
