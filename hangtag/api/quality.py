"""How good models and tags are: two models compared, the tags of a catalog audited."""

from typing import TYPE_CHECKING

from hangtag.api.arguments import StrPath, catalog_of, dataset_of, local, on_cluster, optional
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
    rejected: StrPath | None = None, workers: int | None = None, cluster: str | None = None,
) -> "list[Finding]":  # fmt: skip
    """Return a catalog's likely missing and likely wrong tags, most confident first.

    Fits a kernel head to the catalog, which predicts the tags of `model` for each design without
    the design and its near-duplicates. Files are in the folder `work`, which is removed at the end;
    resumable. `rejected` is a .csv file to list the designs in that cannot be packed. `cluster` is
    the address of a Ray cluster that decodes the designs and computes their features, or "auto".
    Raises what `pack` raises.
    """
    from hangtag.quality.audit import audit as find
    from hangtag.training.held_out import held_out, remove_work

    designs, folder = catalog_of(catalog), local(work)
    with on_cluster(cluster):
        scored = held_out(
            model_of(model).path, designs, folder, rejected=optional(rejected), workers=workers or 0
        )
    found = find(scored, designs)
    remove_work(folder)
    return found
