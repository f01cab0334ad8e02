"""How good models and tags are: two models compared, the tags of a catalog audited."""

from typing import TYPE_CHECKING

from hangtag.api.arguments import StrPath, catalog_of, dataset_of, local, need_torch
from hangtag.api.model import Model, model_of
from hangtag.dataset.dataset_folder import Dataset
from hangtag.library.catalog import Catalog

if TYPE_CHECKING:
    from hangtag.quality.audit import Finding
    from hangtag.quality.compare import Comparison


def compare(
    model_a: Model | StrPath, model_b: Model | StrPath, dataset: Dataset | StrPath, *,
    split: str | None = None,
) -> "Comparison":  # fmt: skip
    """Compare two models on the same designs, with paired intervals of the differences.

    Raises ModelError, DatasetError.
    """
    from hangtag.quality.compare import compare as compared

    return compared(
        model_of(model_a).path, model_of(model_b).path, dataset_of(dataset), split=split
    )


def audit(
    model: Model | StrPath, catalog: Catalog | StrPath, *, work: StrPath,
    minutes: float | None = None, workers: int | None = None,
) -> "list[Finding]":  # fmt: skip
    """Return a catalog's likely missing and likely wrong tags, most confident first.

    Trains three models with the settings of `model`, each on two thirds of the catalog, in the
    folder `work`, which is removed at the end; resumable. `minutes` is the time for all three.
    Raises what `pack` and `train` raise.
    """
    need_torch()
    from hangtag.quality.audit import audit as find
    from hangtag.training.folds import remove_folds, train_folds

    designs, folder = catalog_of(catalog), local(work)
    folds = train_folds(
        model_of(model).path, designs, folder, minutes=minutes or 0.0, workers=workers or 0
    )
    found = find(folds, designs)
    remove_folds(folder)
    return found
