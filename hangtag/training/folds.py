"""Cross-validation: a model per fold of a catalog, trained on the others."""

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hangtag.console import note
from hangtag.dataset.config import PackConfig
from hangtag.dataset.dataset_folder import (
    DESIGNS_FILE,
    RECORD_FILES,
    Dataset,
    DatasetInfo,
    write_records,
)
from hangtag.dataset.pack import pack
from hangtag.errors import ConfigError, DatasetError
from hangtag.library.catalog import SPLITS, Catalog
from hangtag.library.splits import split_groups
from hangtag.storage.files import write_text
from hangtag.tagging.model_folder import ModelFolder
from hangtag.training.config import TrainConfig, from_stored
from hangtag.training.defaults import is_pretrained, resolved
from hangtag.training.train import train

FOLDS: Final = 3
# Train, validation and test shares of the designs outside a fold.
TRAINING: Final = (0.9, 0.1, 0.0)
_FOLDERS: Final = (
    "dataset", *(f"fold-{n}{end}" for n in range(1, FOLDS + 1) for end in ("", "-model")),
)  # fmt: skip
# Marks these folders as made here, unlike others of the same names.
_MARK: Final = ".hangtag-folds"


def remove_folds(work: Path) -> None:
    """Remove what `train_folds` left in `work`, and `work` itself when it is empty then."""
    for name in _FOLDERS:
        shutil.rmtree(work / name, ignore_errors=True)
    (work / _MARK).unlink(missing_ok=True)
    if not any(work.iterdir()):
        work.rmdir()


def train_folds(
    model: Path, catalog: Catalog, work: Path, *, minutes: float = 0.0, workers: int = 0
) -> list[tuple[Path, Path]]:
    """Train on a catalog as `model` was trained, fold by fold; return (dataset, model) of each.

    The models have the tags of `model` and start from scratch, or from the pretrained weights that
    it started from (frozen as in it): its own weights have seen the designs. `minutes` is the time
    for all of them together; with 0 the settings of `model` decide. All files are in `work`: the
    same call again resumes, and files from another catalog, model or settings are replaced. Raises
    what `pack` and `train` raise, and ConfigError where `work` holds foreign folders of these
    names.
    """
    if not (work / _MARK).exists():
        for path in (work / name for name in _FOLDERS):
            if path.exists():
                raise ConfigError(
                    f"{path} was not made by `hangtag audit`; choose another folder with --work"
                )
    write_text(work / _MARK, "")
    folder = ModelFolder.open(model)
    preprocessing = folder.preprocessing
    pack(
        catalog,
        work / "dataset",
        PackConfig(size=preprocessing.packed_size, max_megapixels=preprocessing.max_megapixels),
        tags=folder.vocabulary.untrained(),
        workers=workers,
        overwrite=True,  # a folder made here, perhaps from another catalog
    )
    config = _of_a_fold(from_stored(folder.training), bool(folder.dataset.get("start_from")))
    datasets = write_folds(Dataset.open(work / "dataset"), work)
    if minutes:
        config = replace(config, epochs=None, minutes=minutes / len(datasets))
    models = [path.with_name(f"{path.name}-model") for path in datasets]
    for number, (dataset, target) in enumerate(zip(datasets, models, strict=True), start=1):
        note(f"fold {number} of {len(datasets)}")
        train(dataset, target, config, overwrite=True)
    return list(zip(datasets, models, strict=True))


def _of_a_fold(config: TrainConfig, continued: bool) -> TrainConfig:
    """Return how to train a fold: as the model was, unless it continued another model.

    That model's weights may have seen the fold. Without them the settings of a head do not suit a
    whole network, nor those of a pretrained backbone a randomly initialised one.
    """
    if not continued or config.weights is not None:
        return config
    if config.freeze:
        return TrainConfig(config.backbone, input_size=config.input_size, seed=config.seed)
    if is_pretrained(config.backbone, config.weights):
        return config
    auto = TrainConfig(config.backbone, optimizer=config.optimizer)
    chosen = resolved(auto, continues=True)
    unset: dict[str, Any] = {
        name: getattr(auto, name)
        for name in ("weight_decay", "erase", "input_size")
        if getattr(config, name) == getattr(chosen, name)
    }
    return replace(config, **unset)


# The datasets of the folds


def write_folds(dataset: Dataset, folder: Path) -> list[Path]:
    """Write FOLDS datasets into `folder`; the same call again writes only what is missing.

    Every group is in the test split of one fold, and tags are spread evenly. Record ids are line
    numbers of the dataset's designs.jsonl. Raises DatasetError for a dataset without it, in the
    SageMaker layout.
    """
    catalog = dataset.designs()
    if catalog is None:
        raise DatasetError(f"{dataset.path} has no {DESIGNS_FILE}; pack it with `hangtag pack`")
    whole = _Whole(dataset, catalog)
    paths = [folder / f"fold-{fold + 1}" for fold in range(FOLDS)]
    for fold, path in enumerate(paths):
        # What the folds depend on besides the content.
        digest = hashlib.sha256(f"{dataset.fingerprint()} {dataset.info.seed} {fold} ".encode())
        digest.update(whole.groups.tobytes())
        info = replace(dataset.info, pack="", fingerprint=digest.hexdigest())
        done = DatasetInfo.read(path)
        if done is None or done.fingerprint != info.fingerprint:
            _write_fold(whole, path, fold, info)
    return paths


@dataclass(frozen=True, eq=False)
class _Whole:
    """All designs of a dataset, whatever their split, in the order of designs.jsonl."""

    dataset: Dataset
    catalog: Catalog

    @cached_property
    def records(self) -> list[tuple[str, int]]:
        """Split and record number of every design: a split's records are in the designs' order."""
        seen = dict.fromkeys(SPLITS, -1)
        found = []
        for design in self.catalog:
            seen[design.split] += 1
            found.append((design.split, seen[design.split]))
        return found

    @cached_property
    def labels(self) -> NDArray[np.int8]:
        labels = {split: self.dataset.labels(split) for split in self.dataset.splits()}
        return np.stack([labels[split][record] for split, record in self.records])

    @cached_property
    def groups(self) -> NDArray[np.int64]:
        return self.catalog.group_numbers()

    @cached_property
    def folds(self) -> NDArray[np.int8]:
        """The fold in whose test split each design is."""
        free = np.full(len(self.catalog), -1)
        shares = (1 / FOLDS,) * FOLDS
        return split_groups(
            self.labels == 1, self.groups, fractions=shares, fixed=free, seed=self.dataset.info.seed
        )

    def images(self, rows: NDArray[np.intp]) -> Iterator[bytes]:
        with ExitStack() as stack:
            readers = {
                split: stack.enter_context(self.dataset.records(split))
                for split in self.dataset.splits()
            }
            for row in rows:
                split, record = self.records[row]
                yield readers[split][record].data


def _write_fold(whole: _Whole, path: Path, fold: int, info: DatasetInfo) -> None:
    """Write one fold's dataset; dataset.json comes last."""
    rest = np.flatnonzero(whole.folds != fold)
    splits = np.full(len(whole.catalog), SPLITS.index("test"), np.int8)
    splits[rest] = split_groups(
        whole.labels[rest] == 1,
        whole.groups[rest],
        fractions=TRAINING,
        fixed=np.full(len(rest), -1),
        seed=info.seed,
    )
    for number, split in enumerate(SPLITS):
        rows = np.flatnonzero(splits == number)
        write_records(path / RECORD_FILES[split], rows, whole.labels, whole.images(rows))
    whole.dataset.vocabulary.write(path / "tags.json")
    designs = tuple(
        replace(design, split=SPLITS[number])
        for design, number in zip(whole.catalog, splits, strict=True)
    )
    Catalog(designs, whole.catalog.root).write(path / DESIGNS_FILE)
    counts = {split: int((splits == number).sum()) for number, split in enumerate(SPLITS)}
    replace(info, designs=counts).write(path)
