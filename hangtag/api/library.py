"""A library: its catalog, the rules of its tags, and the dataset that it is packed into."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hangtag.api.arguments import (
    StrPath,
    catalog_of,
    dataset_of,
    local,
    on_cluster,
    optional,
    rules_of,
)
from hangtag.api.model import Model, model_of
from hangtag.dataset.config import PackConfig
from hangtag.dataset.dataset_folder import Dataset
from hangtag.errors import ConfigError
from hangtag.library.catalog import Catalog
from hangtag.library.rules import Rules, default_min_count

if TYPE_CHECKING:
    from hangtag.dataset.pack_parts import PartSummary
    from hangtag.library.proposals import Proposal


def draw_sample(folder: StrPath, *, designs: int = 1600, seed: int = 0) -> Catalog:
    """Draw a small design library to try hangtag on; `folder`/designs.csv is its catalog."""
    from hangtag.sample.library import draw_library

    return draw_library(local(folder), designs=designs, seed=seed)


def import_catalog(
    kind: str, source: StrPath, *, tags_file: StrPath | None = None, images: StrPath | None = None,
    **options: str | bool | None,
) -> Catalog:  # fmt: skip
    """Return the catalog of a library in another format: lst, manifest, sidecar, xmp, svg,
    openclipart or folder.

    `tags_file` names the label columns of lst and manifest, `images` is the base folder of their
    paths. Options are `attribute`, `label_format`, `prefer` and `paths`, as in `hangtag import
    --help`. Raises ConfigError, VocabularyError and CatalogError.
    """
    from hangtag.library.importers import import_catalog as imported

    return imported(
        kind, local(source), tags_file=optional(tags_file), images=optional(images), **options
    )


def suggest_rules(
    catalog: Catalog | StrPath, *,
    rules: Rules | StrPath | None = None, min_count: int | None = None,
    model: "Model | StrPath | None" = None, dataset: Dataset | StrPath | None = None,
) -> "list[Proposal]":  # fmt: skip
    """Return suggested aliases and implications for the tags of a catalog; nothing is changed.

    Tags of fewer than `min_count` designs count as rare; by default one in 200, but
    5 to 20. `model` and the `dataset` that it was trained on, given together, also find tags whose
    designs look similar. Raises CatalogError.
    """
    from hangtag.library.proposals import LOOK_ALIKE, propose

    if (model is None) != (dataset is None):
        raise ConfigError("give both model and dataset, or neither")
    correlations = None
    if model is not None and dataset is not None:
        from hangtag.quality.correlated import correlated_tags

        correlations = correlated_tags(model_of(model).path, dataset_of(dataset).path, LOOK_ALIKE)
    read = catalog_of(catalog)
    return propose(
        read, rules_of(rules), min_count=min_count or default_min_count(len(read)),
        correlations=correlations,
    )  # fmt: skip


def pack(
    catalog: Catalog | StrPath, dataset: StrPath, *, config: PackConfig | None = None,
    rules: Rules | StrPath | None = None, workers: int | None = None, overwrite: bool = False,
    cluster: str | None = None,
) -> Dataset:  # fmt: skip
    """Pack a catalog, or the file that holds one, into a dataset to train on; resumable.

    `rules` are aliases, implications and tags to drop. `workers` processes decode, by default one
    per core. `dataset`/rejected.csv lists the designs that cannot be packed. Raises DatasetError
    where the folder has another dataset (unless `overwrite`), CatalogError and VocabularyError.
    `cluster` is the address of a Ray cluster that decodes the designs, or "auto".
    """
    from hangtag.dataset import pack as packing

    folder = local(dataset)
    with on_cluster(cluster):
        packing.pack(
            catalog_of(catalog), folder, config, tags=rules_of(rules), workers=workers or 0,
            overwrite=overwrite,
        )  # fmt: skip
    return Dataset.open(folder)


def pack_shard(
    catalog: Catalog | StrPath, dataset: StrPath, shard: str, *, config: PackConfig | None = None,
    rules: Rules | StrPath | None = None, workers: int | None = None, overwrite: bool = False,
    cluster: str | None = None,
) -> "PartSummary":  # fmt: skip
    """Decode one of several parts of a catalog, such as "3/16", into `dataset`/shards; resumable.

    Arguments are those of `pack`. Once all parts are there, `merge_dataset` makes the dataset.
    """
    from hangtag.dataset.pack_parts import pack_part
    from hangtag.storage.parts import Part

    with on_cluster(cluster):
        return pack_part(
            catalog_of(catalog), local(dataset), Part.parse(shard), config or PackConfig(),
            rules_of(rules), workers=workers or 0, overwrite=overwrite,
        )  # fmt: skip


def merge_dataset(
    dataset: StrPath, folders: Sequence[StrPath] = (), *, overwrite: bool = False
) -> Dataset:
    """Make a dataset of the parts that `pack_shard` wrote there and in `folders`.

    It is what `pack` makes of the whole catalog, byte for byte. Raises DatasetError where parts are
    missing or do not belong together, or the folder has another dataset (unless `overwrite`).
    """
    from hangtag.dataset.pack_parts import merge_parts

    merge_parts(local(dataset), [local(folder) for folder in folders], overwrite=overwrite)
    return Dataset.open(local(dataset))


def load_dataset(dataset: StrPath, *, tags_file: StrPath | None = None) -> Dataset:
    """Open a packed dataset, or one in the SageMaker layout whose tags `tags_file` names.

    Raises DatasetError.
    """
    return Dataset.open(local(dataset), optional(tags_file))
