"""A trained model: where it comes from, what it says about designs, and how good it is."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from hangtag.api.arguments import StrPath, dataset_of, local, need_torch, on_cluster, optional
from hangtag.dataset.dataset_folder import Dataset
from hangtag.training.config import TrainConfig

if TYPE_CHECKING:
    from hangtag.library.colours import Palette
    from hangtag.library.vocabulary import Vocabulary
    from hangtag.quality.evaluate import Evaluation
    from hangtag.quality.scoring import Scored
    from hangtag.tagging.bulk import BulkSummary
    from hangtag.tagging.metadata import Xmp
    from hangtag.tagging.model_folder import ModelFolder
    from hangtag.tagging.output import TaggedDesign
    from hangtag.tagging.precision import Asked, Precision
    from hangtag.tagging.selection import Selection
    from hangtag.tagging.tagger import Suggestion, Tagger
    from hangtag.training.result import TrainResult


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
    def asked(self) -> "Asked":
        """The precision that `load_model` was asked for."""
        return self._folder.asked

    @property
    def precision(self) -> "Precision":
        """In which the network computes here: fp32, or int8 for 8 bits."""
        return self._folder.precision

    def _opened(self) -> "ModelFolder":
        """Return the model folder as it is now."""
        return type(self._folder).open(self.path, self.asked)

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
        self, designs: StrPath | bytes, *, top: int | None = None, min_score: float | None = None,
        language: str | None = None,
    ) -> "list[Suggestion]": ...  # fmt: skip

    @overload
    def tag(
        self, designs: Sequence[StrPath | bytes], *, top: int | None = None,
        min_score: float | None = None, language: str | None = None,
    ) -> "list[list[Suggestion]]": ...  # fmt: skip

    def tag(
        self, designs: StrPath | bytes | Sequence[StrPath | bytes], *, top: int | None = None,
        min_score: float | None = None, language: str | None = None,
    ) -> "list[Suggestion] | list[list[Suggestion]]":  # fmt: skip
        """Return the suggested tags of a design (its path or its bytes), best first.

        For several designs return a list of such lists. By default each tag has its own threshold;
        `min_score`, 0 to 1, replaces them all, and `top` returns the best tags whatever their
        scores. `language` gives tags by their names in it, such as de. Raises ImageError, naming
        the design, for one that cannot be decoded, VocabularyError for a language without names.
        """
        from hangtag.tagging.selection import Selection

        single = isinstance(designs, (str, bytes, os.PathLike))
        several: Any = [designs] if single else designs
        images = [one if isinstance(one, bytes) else os.fspath(one) for one in several]
        selection = Selection(top=top, min_score=min_score, language=language)
        found = [selection.of(self.tagger, scores) for scores in self.tagger.score_images(images)]
        return found[0] if single else found

    def tag_library(
        self, paths: Sequence[StrPath], out: StrPath, *, top: int | None = None,
        min_score: float | None = None, all_tags: bool = False, xmp: "Xmp" = False,
        colours: bool = False, palette: StrPath | None = None, words: bool = False,
        again: bool = False, language: str | None = None, shard: str | None = None,
        workers: int | None = None, cluster: str | None = None,
    ) -> "BulkSummary":  # fmt: skip
        """Tag files, folders and catalogs into `out`, a .jsonl, .csv or .parquet file; resumable.

        A further call tags only designs that are new or changed since, or all if the model or an
        option changed, or with `again`. `all_tags` writes every tag with its score, `colours` also
        the main colours, of the file `palette` if given, `words` the words written in a design
        (the `ocr` extra). `xmp` also adds the tags to XMP sidecars, with "embed" to the files that
        can hold them. `language` gives tags by their names in it. `shard`, such as "3/16", tags one
        of several parts into a file of its own; see `merge_tags`. `cluster` is the address of a Ray
        cluster that does the work, or "auto". A design that cannot be read is counted in the
        summary. Raises CatalogError, ConfigError, MissingExtra, VocabularyError.
        """
        from hangtag.storage.parts import Part
        from hangtag.tagging.designs import find_designs
        from hangtag.tagging.incremental import tag_changed
        from hangtag.tagging.seen import forget
        from hangtag.tagging.selection import Selection

        selection = self._checked(
            Selection(all_tags, top, min_score, colours, _palette(palette), words, language)
        )
        target, designs = local(out), find_designs([local(path) for path in paths])
        if shard is not None:
            part = Part.parse(shard)
            target, designs = part.beside(target), list(part.of(designs))
        if again:
            forget(target)
        with on_cluster(cluster):
            return tag_changed(
                self._opened(), designs, target, selection, workers=workers or 0, xmp=xmp
            )

    def tag_each(
        self, paths: Sequence[StrPath], *, top: int | None = None, min_score: float | None = None,
        all_tags: bool = False, xmp: "Xmp" = False, colours: bool = False,
        palette: StrPath | None = None, words: bool = False, language: str | None = None,
        workers: int | None = None,
    ) -> "Iterator[TaggedDesign]":  # fmt: skip
        """Yield the designs as they are tagged; one that cannot be read has an `error`."""
        from hangtag.tagging import bulk
        from hangtag.tagging.designs import find_designs
        from hangtag.tagging.selection import Selection

        selection = self._checked(
            Selection(all_tags, top, min_score, colours, _palette(palette), words, language)
        )
        designs = find_designs([local(path) for path in paths])
        return bulk.stream(self._opened(), designs, selection, workers=workers or 0, xmp=xmp)

    def _checked(self, selection: "Selection") -> "Selection":
        """Return the options, after a look whether there are names in their language."""
        if selection.language is not None:
            self.vocabulary.names_in(selection.language)
        return selection

    def evaluate(self, dataset: Dataset | StrPath, *, split: str | None = None) -> "Report":
        """Measure the model on a split of a dataset and add the metrics to metrics.json.

        `split` is test or validation; by default test, or validation where there is no test split.
        Raises DatasetError.
        """
        from hangtag.quality.evaluate import evaluate

        return Report(*evaluate(self.path, dataset_of(dataset), split=split, asked=self.asked))


def _palette(path: StrPath | None) -> "Palette | None":
    from hangtag.library.colours import Palette

    return None if path is None else Palette.read(Path(path))


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

        return write_report(self.evaluation, self.scored, optional(path))


def load_model(model: StrPath, *, precision: "Asked" = "auto") -> Model:
    """Open a model folder or a model.tar.gz. Raises ModelError.

    `precision` is fp32, or int8 for the network in 8 bits that most models have; by default int8
    where there is one and this machine's processor computes it faster.
    """
    from hangtag.tagging.model_folder import ModelFolder

    path = local(model)
    if path.name.endswith(".tar.gz"):
        from hangtag.storage.mirror import unpacked

        path = unpacked(path)
    return Model(ModelFolder.open(path, precision))


def train(
    dataset: Dataset | StrPath, model: StrPath, *, minutes: float | None = None,
    config: TrainConfig | None = None, start_from: "Model | StrPath | None" = None,
    overwrite: bool = False, cluster: str | None = None,
) -> Model:  # fmt: skip
    """Train a model on a packed dataset and write the folder `model`; resumable.

    `minutes` fits the number of epochs to a time. `start_from` is a trained model to continue
    from; its tags may differ. `overwrite` replaces a run with other settings in the folder.
    `cluster` is the address of a Ray cluster that trains a whole network, or "auto". Raises
    DatasetError, ConfigError, TrainingError, MissingExtra for a whole network without the `train`
    extra, and Stopped after Ctrl-C or SIGTERM, with everything saved.
    """
    config = config or TrainConfig()
    config = config if minutes is None else replace(config, minutes=minutes)
    folder, target = dataset_of(dataset), local(model)
    first = None if start_from is None else model_of(start_from).path
    if cluster is None:
        from hangtag.training.train import train as run

        run(folder, target, config, continue_from=first, overwrite=overwrite)
    else:
        need_torch()
        from hangtag.cluster.connection import joined
        from hangtag.cluster.training import train_on_cluster

        with joined(cluster):
            train_on_cluster(folder, target, config, first, overwrite)
    return load_model(target)


def import_model(source: StrPath, model: StrPath, *, tags_file: StrPath) -> Model:
    """Convert a model of SageMaker's image classification (model.tar.gz) into a model folder.

    `tags_file` names its tags, one per line, in the order of its outputs. Raises ModelError.
    """
    need_torch()
    from hangtag.sagemaker.mxnet_model import import_mxnet

    return Model(import_mxnet(local(source), local(tags_file), local(model)))


def model_of(model: Model | StrPath) -> Model:
    return model if isinstance(model, Model) else load_model(model)
