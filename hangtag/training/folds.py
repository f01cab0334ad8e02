"""One model per fold of a catalog, each blind to its own fold: for out-of-fold scores."""

import shutil
from dataclasses import replace
from pathlib import Path

from hangtag.console import note
from hangtag.dataset.config import PackConfig
from hangtag.dataset.dataset_folder import DatasetFolder
from hangtag.dataset.folds import write_folds
from hangtag.dataset.pack import pack
from hangtag.library.catalog import Catalog
from hangtag.tagging.model_folder import ModelFolder
from hangtag.training.config import TrainConfig, from_stored
from hangtag.training.train import train


def remove_folds(work: Path) -> None:
    """Remove what `train_folds` left in `work`, and `work` itself when nothing else lies there."""
    for path in (work / "dataset", *work.glob("fold-*")):
        shutil.rmtree(path, ignore_errors=True)
    if not any(work.iterdir()):
        work.rmdir()


def train_folds(
    model: Path, catalog: Catalog, work: Path, *, minutes: float = 0.0, workers: int = 0
) -> list[tuple[Path, Path]]:
    """Train on a catalog as `model` was trained, fold by fold; return (dataset, model) of each.

    The models know the tags of `model` and start from scratch, or from the pretrained weights that
    it started from (frozen as in it): its own weights have seen the designs. `minutes` is the time
    for all of them together; 0 trains each as long as `model` was. Everything lies in `work`, and
    the same call again goes on where a killed one stopped. Raises what `pack` and `train` raise.
    """
    folder = ModelFolder.open(model)
    sees = folder.preprocessing
    pack(
        catalog,
        work / "dataset",
        PackConfig(size=sees.packed_size, max_megapixels=sees.max_megapixels),
        vocabulary=folder.vocabulary.untrained(),
        workers=workers,
    )
    config = _of_a_fold(from_stored(folder.training), bool(folder.dataset.get("start_from")))
    datasets = write_folds(DatasetFolder.open(work / "dataset"), work)
    if minutes:
        config = replace(config, epochs=0, minutes=minutes / len(datasets))
    models = [path.with_name(f"{path.name}-model") for path in datasets]
    for number, (dataset, target) in enumerate(zip(datasets, models, strict=True), start=1):
        note(f"fold {number} of {len(datasets)}")
        train(dataset, target, config)
    return list(zip(datasets, models, strict=True))


def _of_a_fold(config: TrainConfig, continued: bool) -> TrainConfig:
    """Return how to train a fold: as the model was, unless its frozen backbone was a model's.

    Those weights may have seen the fold, and what suits a head does not suit a whole network.
    """
    if config.freeze and continued and config.weights == "none":
        return TrainConfig(config.backbone, input_size=config.input_size, seed=config.seed)
    return config
