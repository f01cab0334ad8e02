"""Commands about datasets: pack, merge, salvage."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from hangtag.cli.options import Cluster, Output, Result, Shard, Workers, config_of, options_of
from hangtag.dataset.config import PackConfig
from hangtag.errors import ConfigError
from hangtag.processes import begin_workers

if TYPE_CHECKING:
    PackOptions = PackConfig | None
else:
    PackOptions = options_of(PackConfig)


def pack(
    catalog: Path,
    dataset: Path,
    /,
    *,
    config: PackOptions = None,
    rules: Path | None = None,
    drop: Path | None = None,
    shard: Shard = None,
    workers: Workers = None,
    cluster: Cluster = None,
    overwrite: bool = False,
    output: Output | None = None,
) -> Result:
    """Pack a catalog into a dataset to train on; resumable.

    Parameters
    ----------
    catalog
        A .csv, .jsonl or .parquet file with columns image and tags.
    dataset
        The folder to write.
    rules
        File of aliases (kitty -> cat) and implications (rose => flower).
    drop
        File of tags to leave out, one per line.
    overwrite
        Replace another dataset in the folder.
    """
    if cluster is None:
        begin_workers()
    from hangtag import api
    from hangtag.dataset.dataset_folder import OWN_FILES
    from hangtag.dataset.pack import summary_lines, summary_of
    from hangtag.dataset.pack_parts import part_line
    from hangtag.library.rules import Rules

    replaced = {(dataset / name).resolve() for name in OWN_FILES}
    for source in (catalog, rules, drop):
        if source and source.resolve() in replaced:
            raise ConfigError(
                f"{source} would be overwritten; choose another folder than {dataset}"
            )
    settings: dict[str, Any] = {
        "config": config_of(PackConfig, config), "rules": Rules.read(rules, drop),
        "workers": workers, "cluster": cluster, "overwrite": overwrite,
    }  # fmt: skip
    if shard is not None:
        part = api.pack_shard(catalog, dataset, shard, **settings)
        return Result([part_line(part)], asdict(part))
    packed = api.pack(catalog, dataset, **settings)
    summary = summary_of(packed.path, packed.info)
    return Result(summary_lines(summary, dataset), asdict(summary))


def merge(
    out: Path,
    /,
    *,
    folders: Annotated[
        tuple[Path, ...],
        Parameter(
            consume_multiple=True, help="More folders with shards, such as those of other machines."
        ),
    ] = (),
    overwrite: bool = False,
    output: Output | None = None,
) -> Result:
    """Merge what `pack --shard` or `tag --shard` wrote, with the result of a run without shards.

    Parameters
    ----------
    out
        The folder of the dataset, or the .jsonl, .csv or .parquet file of the tags: what the runs
        were given.
    overwrite
        Replace another dataset in the folder.
    """
    from hangtag import api
    from hangtag.dataset.pack import summary_lines, summary_of
    from hangtag.tagging.bulk import summary_line
    from hangtag.tagging.output import SUFFIXES

    if out.suffix in SUFFIXES:
        tagged = api.merge_tags(out, folders)
        return Result([summary_line(tagged, out)], asdict(tagged))
    packed = api.merge_dataset(out, folders, overwrite=overwrite)
    summary = summary_of(packed.path, packed.info)
    return Result(summary_lines(summary, out), asdict(summary))


def salvage(broken: Path, whole: Path, /, *, output: Output | None = None) -> Result:
    """Copy the intact records of a damaged .rec file into a new one.

    Parameters
    ----------
    broken
        The damaged file.
    whole
        The .rec file to write; its .idx is written beside it.
    """
    from hangtag.dataset.recordio import copy_whole

    kept, skipped = copy_whole(broken, whole)
    lost = sum(end - begin for begin, end in skipped)
    return Result(
        [f"{kept:,} records kept, {lost:,} bytes in {len(skipped)} gaps left out -> {whole}"],
        {"records": kept, "bytes_left_out": lost, "places": len(skipped)},
    )
