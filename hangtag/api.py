"""What `import hangtag` offers: every stage as a function, and a trained model.

    import hangtag

    dataset = hangtag.pack("designs.csv", "dataset")
    model = hangtag.train(dataset, "model", minutes=10)
    model.tag("heart.png")                   # [Suggestion("heart", 0.97, "apply"), ...]
    model.tag(["a.png", "b.svg"], top=5)     # a list for each design
    report = model.evaluate(dataset)
    report.macro_map, report.save("report.html")
    for finding in hangtag.audit(model, "designs.csv", work="audit.work"):
        print(finding.image, finding.problem, finding.tag)
    model = hangtag.load_model("model")

A path is a `str` or an `os.PathLike`. Functions take what other functions return, or the path of
it. Messages go to the logger `hangtag`, progress to the callback of `hangtag.progress`.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from hangtag.dataset.config import PackConfig
from hangtag.dataset.dataset_folder import Dataset
from hangtag.errors import ConfigError
from hangtag.library.catalog import Catalog
from hangtag.library.rules import MIN_COUNT, Rules
from hangtag.training.config import TrainConfig

if TYPE_CHECKING:
    from hangtag.library.proposals import Proposal
    from hangtag.library.vocabulary import Vocabulary
    from hangtag.quality.audit import Finding
    from hangtag.quality.compare import Comparison
    from hangtag.quality.evaluate import Evaluation
    from hangtag.quality.scoring import Scored
    from hangtag.review.store import Answer as ReviewAnswer
    from hangtag.service.config import ServeConfig
    from hangtag.tagging.bulk import BulkSummary
    from hangtag.tagging.model_folder import ModelFolder
    from hangtag.tagging.output import TaggedDesign
    from hangtag.tagging.tagger import Suggestion, Tagger
    from hangtag.training.result import TrainResult
    from hangtag.tuning.config import Objective, TuneConfig
    from hangtag.tuning.space import Space
    from hangtag.tuning.summary import Summary

StrPath = str | os.PathLike[str]


# A library


def draw_sample(folder: StrPath, *, designs: int = 1600, seed: int = 0) -> Catalog:
    """Draw a small design library to try hangtag on; `folder`/designs.csv is its catalog."""
    from hangtag.sample.library import draw_library

    return draw_library(_local(folder), designs=designs, seed=seed)


def import_catalog(
    kind: str, source: StrPath, *, tags_file: StrPath | None = None, images: StrPath | None = None,
    **options: str | None,
) -> Catalog:  # fmt: skip
    """Return the catalog of a library in another format: lst, manifest, sidecar, xmp, svg,
    openclipart or folder.

    `tags_file` names the label columns of lst and manifest, `images` is the base folder of their
    paths. Options are `attribute`, `label_format` and `prefer`, as in `hangtag import --help`.
    Raises ConfigError, VocabularyError and CatalogError.
    """
    from hangtag.library.importers import import_catalog as imported

    return imported(
        kind, _local(source), tags_file=_optional(tags_file), images=_optional(images), **options
    )


def suggest_rules(
    catalog: Catalog | StrPath, *, rules: Rules | StrPath | None = None, min_count: int = MIN_COUNT,
    model: "Model | StrPath | None" = None, dataset: Dataset | StrPath | None = None,
) -> "list[Proposal]":  # fmt: skip
    """Return suggested aliases and implications for the tags of a catalog; nothing is changed.

    Tags of fewer than `min_count` designs count as rare. `model` and the `dataset` that it was
    trained on, given together, also find tags whose designs look similar. Raises CatalogError.
    """
    from hangtag.library.proposals import LOOK_ALIKE, propose

    if (model is None) != (dataset is None):
        raise ConfigError("give both model and dataset, or neither")
    correlations = None
    if model is not None and dataset is not None:
        from hangtag.quality.correlated import correlated_tags

        correlations = correlated_tags(_model(model).path, _dataset(dataset).path, LOOK_ALIKE)
    return propose(_catalog(catalog), _rules(rules), min_count=min_count, correlations=correlations)


# A dataset


def pack(
    catalog: Catalog | StrPath, dataset: StrPath, *, config: PackConfig | None = None,
    rules: Rules | StrPath | None = None, workers: int | None = None, overwrite: bool = False,
) -> Dataset:  # fmt: skip
    """Pack a catalog, or the file that holds one, into a dataset to train on; resumable.

    `rules` are aliases, implications and tags to drop. `workers` processes decode, by default one
    per core. `dataset`/rejected.csv lists the designs that cannot be packed. Raises DatasetError
    where the folder has another dataset (unless `overwrite`), CatalogError and VocabularyError.
    """
    from hangtag.dataset import pack as packing

    folder = _local(dataset)
    packing.pack(
        _catalog(catalog), folder, config, tags=_rules(rules), workers=workers or 0,
        overwrite=overwrite,
    )  # fmt: skip
    return Dataset.open(folder)


def load_dataset(dataset: StrPath, *, tags_file: StrPath | None = None) -> Dataset:
    """Open a packed dataset, or one in the SageMaker layout whose tags `tags_file` names.

    Raises DatasetError.
    """
    return Dataset.open(_local(dataset), _optional(tags_file))


# A model


class Model:
    """A trained model: the result of `train` or `load_model`. Thread-safe."""

    def __init__(self, folder: "ModelFolder") -> None:
        self._folder = folder

    def __repr__(self) -> str:
        return f"<hangtag.Model {self.path}: {len(self.vocabulary)} tags>"

    def __fspath__(self) -> str:
        return str(self.path)

    @property
    def path(self) -> Path:
        """The model folder."""
        return self._folder.path

    @property
    def input_size(self) -> int:
        """The side of the network's square input, in pixels."""
        return self._folder.preprocessing.input_size

    @property
    def vocabulary(self) -> "Vocabulary":
        """The tags that the model knows, with their thresholds."""
        return self._folder.vocabulary

    @cached_property
    def tagger(self) -> "Tagger":
        """The model in memory. Raises ModelError where it cannot be loaded."""
        from hangtag.tagging.tagger import Tagger

        return Tagger(self._folder)

    @cached_property
    def training(self) -> "TrainResult":
        """Epochs, time and scores of its training. Raises ModelError for an imported model."""
        from hangtag.training.result import TrainResult

        return TrainResult.of(self._folder)

    @overload
    def tag(  # type: ignore[overload-overlap]  # a str is a sequence, too
        self, designs: StrPath | bytes, *, top: int | None = None, min_score: float | None = None
    ) -> "list[Suggestion]": ...

    @overload
    def tag(
        self, designs: Sequence[StrPath | bytes], *, top: int | None = None,
        min_score: float | None = None,
    ) -> "list[list[Suggestion]]": ...  # fmt: skip

    def tag(
        self, designs: StrPath | bytes | Sequence[StrPath | bytes], *, top: int | None = None,
        min_score: float | None = None,
    ) -> "list[Suggestion] | list[list[Suggestion]]":  # fmt: skip
        """Return the suggested tags of a design (its path or its bytes), best first.

        For several designs return a list of such lists. By default each tag has its own threshold;
        `min_score`, 0 to 1, replaces them all, and `top` returns the best tags whatever their
        scores. Raises ImageError, naming the design, for one that cannot be decoded.
        """
        from hangtag.tagging.bulk import Selection

        single = isinstance(designs, (str, bytes, os.PathLike))
        several: Any = [designs] if single else designs
        images = [one if isinstance(one, bytes) else os.fspath(one) for one in several]
        selection = Selection(top=top, min_score=min_score)
        found = [selection.of(self.tagger, scores) for scores in self.tagger.score_images(images)]
        return found[0] if single else found

    def tag_library(
        self, paths: Sequence[StrPath], out: StrPath, *, top: int | None = None,
        min_score: float | None = None, all_tags: bool = False, xmp: bool = False,
        workers: int | None = None,
    ) -> "BulkSummary":  # fmt: skip
        """Tag files, folders and catalogs into `out`, a .jsonl or .csv file; resumable.

        `all_tags` writes every tag with its score, `xmp` also adds the tags to XMP sidecars. A
        design that cannot be read is counted in the summary. Raises CatalogError, ConfigError.
        """
        from hangtag.tagging import bulk
        from hangtag.tagging.designs import find_designs

        selection = bulk.Selection(all=all_tags, top=top, min_score=min_score)
        designs = find_designs([_local(path) for path in paths])
        return bulk.tag_library(
            self.path, designs, _local(out), selection, workers=workers or 0, xmp=xmp
        )

    def tag_each(
        self, paths: Sequence[StrPath], *, top: int | None = None, min_score: float | None = None,
        all_tags: bool = False, xmp: bool = False, workers: int | None = None,
    ) -> "Iterator[TaggedDesign]":  # fmt: skip
        """Yield the designs as they are tagged; one that cannot be read has an `error`."""
        from hangtag.tagging import bulk
        from hangtag.tagging.designs import find_designs

        selection = bulk.Selection(all=all_tags, top=top, min_score=min_score)
        designs = find_designs([_local(path) for path in paths])
        return bulk.stream(self.path, designs, selection, workers=workers or 0, xmp=xmp)

    def evaluate(self, dataset: Dataset | StrPath, *, split: str | None = None) -> "Report":
        """Measure the model on a split of a dataset and add the metrics to metrics.json.

        `split` is test or validation; by default test, or validation where there is no test split.
        Raises DatasetError.
        """
        from hangtag.quality.evaluate import evaluate

        return Report(*evaluate(self.path, _dataset(dataset), split=split))


@dataclass(frozen=True, eq=False)
class Report:
    """An evaluation, and the scores of the designs that it was made on."""

    evaluation: "Evaluation"
    scored: "Scored"

    @property
    def figures(self) -> dict[str, float | None]:
        """All metrics by name; None where there was nothing to measure."""
        return self.evaluation.figures

    @property
    def macro_map(self) -> float | None:
        """The mean over all tags of their average precision, 0 to 1."""
        return self.figures["macro_map"]

    @property
    def micro_map(self) -> float | None:
        """The average precision over all tags together, 0 to 1."""
        return self.figures["micro_map"]

    @property
    def per_tag(self) -> list[dict[str, Any]]:
        """The metrics of every tag."""
        return self.evaluation.per_tag

    def save(self, path: StrPath | None = None) -> Path:
        """Write the report as one HTML file; by default report.html in the model folder."""
        from hangtag.quality.report import write_report

        return write_report(self.evaluation, self.scored, _optional(path))


def load_model(model: StrPath) -> Model:
    """Open a model folder or a model.tar.gz. Raises ModelError."""
    from hangtag.tagging.model_folder import ModelFolder

    path = _local(model)
    if path.name.endswith(".tar.gz"):
        from hangtag.storage.mirror import unpacked

        path = unpacked(path)
    return Model(ModelFolder.open(path))


def train(
    dataset: Dataset | StrPath, model: StrPath, *, minutes: float | None = None,
    config: TrainConfig | None = None, start_from: "Model | StrPath | None" = None,
    overwrite: bool = False,
) -> Model:  # fmt: skip
    """Train a model on a packed dataset and write the folder `model`; resumable.

    `minutes` fits the number of epochs to a time. `start_from` is a trained model to continue
    from; its tags may differ. `overwrite` replaces a run with other settings in the folder. Raises
    DatasetError, ConfigError, TrainingError, MissingExtra without the `train` extra, and Stopped
    after Ctrl-C or SIGTERM, with everything saved.
    """
    _need_torch()
    from hangtag.training.train import train as run

    config = config or TrainConfig()
    result = run(
        _dataset(dataset), _local(model),
        config if minutes is None else replace(config, minutes=minutes),
        continue_from=None if start_from is None else _model(start_from).path,
        overwrite=overwrite,
    )  # fmt: skip
    return load_model(result.model)


def import_model(source: StrPath, model: StrPath, *, tags_file: StrPath) -> Model:
    """Convert a model of SageMaker's image classification (model.tar.gz) into a model folder.

    `tags_file` names its tags, one per line, in the order of its outputs. Raises ModelError.
    """
    _need_torch()
    from hangtag.sagemaker.mxnet_model import import_mxnet

    return Model(import_mxnet(_local(source), _local(tags_file), _local(model)))


@dataclass(frozen=True, eq=False)
class Study:
    """A search for better settings: its folder, and a summary of its trials."""

    path: Path
    summary: "Summary"

    @property
    def model(self) -> Model:
        """The best trial's model. Raises ModelError before a trial has ended."""
        from hangtag.tuning.tune import MODEL

        return load_model(self.path / MODEL)

    @property
    def database(self) -> str:
        """The URL of the study's own database file, for Optuna's tools."""
        from hangtag.tuning.study import database_url

        return database_url(self.path)

    def save_report(self) -> Path:
        """Write report.html into the study's folder and return its path."""
        from hangtag.tuning.report import write_report

        return write_report(self.summary, self.path)


def tune(
    dataset: Dataset | StrPath, study: StrPath, *, config: TrainConfig | None = None,
    tuning: "TuneConfig | None" = None, space: "Space | StrPath | None" = None,
    objective: "Objective | None" = None, storage: str | None = None,
) -> Study:  # fmt: skip
    """Search for better settings than `config`, which is the first trial; resumable.

    `space` lists the settings to try, `objective` is what to maximise (by default that of the
    space, else validation:macro_map), `storage` the URL of a database that machines share. Raises
    what `train` raises.
    """
    _need_torch()
    from hangtag.tuning.space import Space
    from hangtag.tuning.tune import tune as search

    if space is None:
        space = Space.default(config or TrainConfig())
    elif not isinstance(space, Space):
        space = Space.read(_local(space))
    if objective is not None:
        space = replace(space, objective=objective)
    folder = _local(study)
    result = search(_dataset(dataset), folder, config, tuning, space, storage=storage or "")
    found = load_study(folder, storage=storage)
    load_model(result.model).evaluate(dataset, split="validation").save()
    return found


def load_study(study: StrPath, *, storage: str | None = None) -> Study:
    """Open a study. Raises ConfigError where there is none."""
    _need_torch()
    from hangtag.tuning.study import open_study
    from hangtag.tuning.summary import Summary

    folder = _local(study)
    return Study(folder, Summary.of(open_study(folder, storage or "")))


# How good it is


def compare(
    model_a: Model | StrPath, model_b: Model | StrPath, dataset: Dataset | StrPath, *,
    split: str | None = None,
) -> "Comparison":  # fmt: skip
    """Compare two models on the same designs, with paired intervals of the differences.

    Raises ModelError, DatasetError.
    """
    from hangtag.quality.compare import compare as compared

    return compared(_model(model_a).path, _model(model_b).path, _dataset(dataset), split=split)


def audit(
    model: Model | StrPath, catalog: Catalog | StrPath, *, work: StrPath,
    minutes: float | None = None, workers: int | None = None,
) -> "list[Finding]":  # fmt: skip
    """Return a catalog's likely missing and likely wrong tags, most confident first.

    Trains three models with the settings of `model`, each on two thirds of the catalog, in the
    folder `work`, which is removed at the end; resumable. `minutes` is the time for all three.
    Raises what `pack` and `train` raise.
    """
    _need_torch()
    from hangtag.quality.audit import audit as find
    from hangtag.training.folds import remove_folds, train_folds

    designs, folder = _catalog(catalog), _local(work)
    folds = train_folds(
        _model(model).path, designs, folder, minutes=minutes or 0.0, workers=workers or 0
    )
    found = find(folds, designs)
    remove_folds(folder)
    return found


# A server


def serve(model: Model | StrPath, config: "ServeConfig | None" = None) -> None:
    """Serve a model over HTTP until SIGTERM or Ctrl-C. Raises ModelError, ConfigError."""
    from hangtag.service.config import ServeConfig
    from hangtag.service.serve import serve as run

    run(_model(model).path, config or ServeConfig())


def serve_review(
    model: Model | StrPath, catalog: StrPath, answers: StrPath, *,
    audit: StrPath | None = None, config: "ServeConfig | None" = None, workers: int | None = None,
) -> None:  # fmt: skip
    """Serve a model with the review of a catalog's tags; answers go to the file `answers`.

    Questions come from the audit.csv `audit`, by default from the model's scores. Raises
    ModelError, ConfigError, CatalogError.
    """
    from hangtag.service.config import ServeConfig
    from hangtag.service.serve import review as run

    run(
        _model(model).path, _local(catalog), _local(answers), config or ServeConfig(),
        audit=_optional(audit), workers=workers or 0,
    )  # fmt: skip


def export_review(
    catalog: Catalog | StrPath, answers: StrPath, out: StrPath, *,
    to: Literal["catalog", "label-studio", "fiftyone"] = "catalog",
    model: Model | StrPath | None = None, images: str = "/data/local-files/?d=",
    workers: int | None = None,
) -> "list[ReviewAnswer]":  # fmt: skip
    """Write a catalog with the answers of a review into `out`, and return the answers.

    A yes joins a design's `tags`, a no its `not_tags`. For Label Studio and FiftyOne, `model` adds
    suggestions; `images` is the prefix of an image's path in Label Studio. Raises ConfigError,
    CatalogError.
    """
    from hangtag.review.answers import merged, read_answers

    original = _catalog(catalog)
    found = read_answers(original, _local(answers))
    reviewed = merged(original, found)
    if to == "catalog":
        reviewed.write(_local(out))
        return found
    from hangtag.review.exports import labelled, write_fiftyone, write_label_studio

    suggesting = None if model is None else _model(model)
    tagger = None if suggesting is None else suggesting.tagger
    designs = labelled(reviewed, tagger, workers=workers or 0)
    if to == "fiftyone":
        write_fiftyone(_local(out), designs)
    else:
        write_label_studio(
            _local(out),
            designs,
            model="people" if suggesting is None else suggesting.path.resolve().name,
            vocabulary=tagger.vocabulary.names if tagger else (),
            images=images,
        )
    return found


# What the functions share


def _local(path: StrPath) -> Path:
    """Return a local path. Raises ConfigError for an address in a bucket."""
    text = os.fspath(path)
    if text.startswith("s3://"):
        raise ConfigError(f"{text}: only the command line reads and writes s3:// addresses")
    return Path(text)


def _optional(path: StrPath | None) -> Path | None:
    return None if path is None else _local(path)


def _catalog(catalog: Catalog | StrPath) -> Catalog:
    return catalog if isinstance(catalog, Catalog) else Catalog.read(_local(catalog))


def _rules(rules: Rules | StrPath | None) -> Rules:
    return rules if isinstance(rules, Rules) else Rules.read(_optional(rules), None)


def _dataset(dataset: Dataset | StrPath) -> Dataset:
    return dataset if isinstance(dataset, Dataset) else load_dataset(dataset)


def _model(model: Model | StrPath) -> Model:
    return model if isinstance(model, Model) else load_model(model)


def _need_torch() -> None:
    from importlib.util import find_spec

    from hangtag.errors import MissingExtra

    if find_spec("torch") is None or find_spec("timm") is None:
        raise MissingExtra("training", "train")
