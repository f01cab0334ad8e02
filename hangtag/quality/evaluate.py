"""MODEL/ + DATASET/ -> metrics.json: the exported model measured on a split, through Tagger.

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

from hangtag import __version__
from hangtag.console import note
from hangtag.dataset.dataset_folder import Dataset
from hangtag.errors import DatasetError
from hangtag.quality import metrics
from hangtag.quality.bootstrap import Resampled, affordable, interval, resample
from hangtag.quality.scoring import Scored, score
from hangtag.storage.addresses import address_of
from hangtag.storage.files import write_text
from hangtag.storage.locks import one_at_a_time
from hangtag.tagging.model_card import write_card
from hangtag.tagging.model_folder import METRICS_FILE
from hangtag.tagging.precision import Asked, Precision
from hangtag.tagging.tagger import Tagger

RESAMPLES: Final = 1000
METRICS_FORMAT: Final = 2


@dataclass(frozen=True)
class MeasuredOn:
    """The dataset of an evaluation."""

    name: str
    """The name of its folder."""
    path: str
    """Its absolute path or `s3://` address at the time."""
    fingerprint: str
    designs: dict[str, int]
    """Per split, as packed."""

    @classmethod
    def of(cls, folder: Dataset) -> "MeasuredOn":
        """Describe a dataset."""
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
    """The metrics of a model on one split of a dataset."""

    split: str
    dataset: MeasuredOn
    when: str
    """Date and time in UTC, ISO 8601."""
    figures: dict[str, float | None]
    """Metrics by name, `macro_map` first. None where there was nothing to measure."""
    precision: Precision
    """Of the network that was measured: fp32, or int8 for 8 bits."""
    per_tag: list[dict[str, Any]]
    """tag, `designs` that have it, `average_precision` with its 95 % interval (None without any),
    `threshold`, precision, recall and F1 at it, and the same for `apply_threshold`."""

    def as_json(self) -> dict[str, Any]:
        """Return everything as one JSON object: split, dataset, time, the metrics, `per_tag`."""
        return {
            "split": self.split,
            "dataset": asdict(self.dataset),
            "when": self.when,
            "hangtag": __version__,
            "precision": self.precision,
            **self.figures,
            "per_tag": self.per_tag,
        }


def evaluate(
    model: Path,
    dataset: Dataset | Path,
    *,
    split: str | None = None,
    tags_file: Path | None = None,
    asked: Asked = "auto",
) -> tuple[Evaluation, Scored]:
    """Measure a model folder on a split of a packed dataset and add the result to metrics.json
    and to the model card.

    It replaces an earlier evaluation on the same split of the same dataset, and no other. `split`
    None takes test, or validation without one. Tags are matched by name: the dataset may have been
    packed again since. For `asked` see `ModelFolder.precision`. Raises ModelError, DatasetError.
    """
    scored = score(Tagger.open(model, asked=asked), Dataset.open(dataset, tags_file), split)
    evaluation = measure(scored)
    _remember(model / METRICS_FILE, evaluation)
    write_card(scored.tagger.folder, read_evaluations(model))
    return evaluation, scored


def measure(scored: Scored) -> Evaluation:
    """Measure a scored split."""
    scores, labels = scored.scores, scored.labels
    suggested, applied = scored.suggested, scored.applied
    figures = dict(metrics.summary(scores, labels, suggested))
    apply_counts = metrics.count_chosen(applied, labels)
    figures |= {
        "apply_precision": metrics.precision(apply_counts),
        "apply_recall": metrics.recall(apply_counts),
        "applied": int(apply_counts.suggested.sum()),
        "tags_with_apply_threshold": int(np.isfinite(scored.tagger.apply_thresholds).sum()),
    }
    if (labels < 0).any():
        # Unknown cells of reviewed tags are left out above; also report them counted as no.
        no = np.where((labels < 0) & (labels == 1).any(axis=0), 0, labels).astype(np.int8)
        figures["macro_map_unknown_as_no"] = metrics.macro_map(scores, no)
        figures["micro_map_unknown_as_no"] = metrics.micro_map(scores, no)
    drawn = resample(scores, labels, scored.groups, resamples=affordable(labels, RESAMPLES))
    for name, values in (("macro_map", drawn.macro), ("micro_map", drawn.micro)):
        low, high = interval(values, figures[name])
        figures[f"{name}_low"], figures[f"{name}_high"] = np.clip((low, high), 0, 1)
    return Evaluation(
        scored.split,
        MeasuredOn.of(scored.folder),
        datetime.now(UTC).isoformat(timespec="seconds"),
        {name: _finite(value) for name, value in figures.items()},
        scored.tagger.folder.precision,
        list(_per_tag(scored, drawn, metrics.count_chosen(suggested, labels), apply_counts)),
    )


def _per_tag(
    scored: Scored, drawn: Resampled, counts: metrics.Counts, apply_counts: metrics.Counts
) -> Iterator[dict[str, Any]]:
    f1 = metrics.f1_per_tag(counts)
    precisions = metrics.average_precision(scored.scores, scored.labels)
    for n, tag in enumerate(scored.tagger.vocabulary.tags):
        low, high = interval(drawn.per_tag[n], precisions[n])
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
            "apply_precision": _share(apply_counts.right[n], apply_counts.suggested[n]),
            "apply_recall": _share(apply_counts.right[n], apply_counts.yes[n]),
        }


def _share(part: int, whole: int) -> float | None:
    return float(part / whole) if whole else None


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _remember(path: Path, evaluation: Evaluation) -> None:
    """Put an evaluation into metrics.json, beside those of other splits and other datasets.

    Safe when several processes evaluate one model at the same time.
    """
    with one_at_a_time(path.with_name(f".{path.name}.lock"), path):
        new = evaluation.as_json()
        kept = [one for one in read_evaluations(path.parent) if not _same_split(one, new)]
        content = {"format": METRICS_FORMAT, "evaluations": [*kept, new]}
        write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def read_evaluations(model: Path) -> list[dict[str, Any]]:
    """Return the evaluations in MODEL/metrics.json, each as `Evaluation.as_json`, oldest first.

    Evaluations from before November 2026 do not record their dataset: it is None. A damaged file
    counts as empty, which is logged. Raises DatasetError for a newer format.
    """
    path = model / METRICS_FILE
    if not path.exists():
        return []
    try:
        content = json.loads(path.read_text("utf-8", errors="replace"))
        if "evaluations" not in content:  # the first format: metrics by split
            return [{**one, "split": split, "dataset": None} for split, one in content.items()]
        evaluations = [dict(one) for one in content["evaluations"]]
    except (ValueError, TypeError, AttributeError):
        note(f"{path} is damaged: it will be replaced")
        return []
    if content.get("format") != METRICS_FORMAT:
        raise DatasetError(
            f"{path} has format {content.get('format')}, this hangtag reads {METRICS_FORMAT}; "
            "install the version that wrote it, or move the file away"
        )
    return evaluations


def _same_split(one: dict[str, Any], other: dict[str, Any]) -> bool:
    datasets = [of.get("dataset") or {} for of in (one, other)]
    prints = {dataset.get("fingerprint", id(dataset)) for dataset in datasets}
    return one.get("split") == other.get("split") and len(prints) == 1


def table_lines(evaluation: Evaluation, tags: int = 10) -> Iterator[str]:
    """Yield the lines of a terminal table: the metrics, then the best and the worst `tags`."""
    yield from _summary_lines(evaluation)
    yield ""
    yield from _tag_lines(evaluation, tags)


def _summary_lines(evaluation: Evaluation) -> Iterator[str]:
    figures = {
        name: math.nan if value is None else value for name, value in evaluation.figures.items()
    }
    on = f"{figures['designs']:,.0f} {evaluation.split} designs of {evaluation.dataset.name}"
    network = ", network in 8 bits" if evaluation.precision == "int8" else ""
    yield f"{on}, {figures['tags']:,.0f} tags{network}"
    low, high = figures["macro_map_low"], figures["macro_map_high"]
    bounds = f"95 % interval {low:.4f} to {high:.4f}"
    yield f"macro mAP              {figures['macro_map']:.4f}   ({bounds})"
    yield f"micro mAP              {figures['micro_map']:.4f}"
    if "macro_map_unknown_as_no" in figures:
        macro, micro = (figures[f"{kind}_map_unknown_as_no"] for kind in ("macro", "micro"))
        yield f"  with unknown as no   {macro:.4f}, {micro:.4f}"
    yield f"F1 at the thresholds   macro {figures['macro_f1']:.4f}, micro {figures['micro_f1']:.4f}"
    right, recall = figures["micro_precision"], figures["micro_recall"]
    yield f"suggested tags         {right:.1%} right, {recall:.1%} of all tags found"
    if figures["applied"]:
        right, recall = figures["apply_precision"], figures["apply_recall"]
        yield f"applied tags           {right:.1%} right, {recall:.1%} of all tags found"
    else:
        yield "applied tags           none: no tag is reliable enough to be applied automatically"
    at = ", ".join(f"{k}: {figures[f'precision_at_{k}']:.4f}" for k in (1, 3, 5))
    yield f"precision at           {at}"
    error, above = figures["calibration_error"], figures["calibration_error_above_0.1"]
    yield f"calibration error      {error:.4f} (scores above 0.1: {above:.4f})"
    nothing = figures["tag_nothing_accuracy"]
    yield f"element-wise accuracy  {figures['accuracy']:.4f}   (tagging nothing: {nothing:.4f})"


def _tag_lines(evaluation: Evaluation, tags: int) -> Iterator[str]:
    known = [tag for tag in evaluation.per_tag if tag["average_precision"] is not None]
    known.sort(key=lambda tag: -tag["average_precision"])
    shown = known if len(known) <= 2 * tags else known[:tags] + known[-tags:]
    width = max((len(tag["tag"]) for tag in shown), default=3)
    yield f"{'tag':{width}}  designs  average precision     F1"
    for number, tag in enumerate(shown):
        if number == tags and len(shown) < len(known):
            yield f"... {len(known) - len(shown)} more in {METRICS_FILE} ..."
        yield (
            f"{tag['tag']:{width}}  {tag['designs']:7,}  {tag['average_precision']:17.4f}"
            f"  {tag['f1']:.4f}"
        )
