"""Commands about datasets: pack, salvage."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from hangtag.cli.options import Output, Result, Workers, config_of, options_of
from hangtag.dataset.config import PackConfig
from hangtag.errors import ConfigError

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
    workers: Workers = None,
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
    from hangtag import api
    from hangtag.dataset.dataset_folder import OWN_FILES
    from hangtag.dataset.pack import summary_lines, summary_of
    from hangtag.library.rules import Rules

    replaced = {(dataset / name).resolve() for name in OWN_FILES}
    for source in (catalog, rules, drop):
        if source and source.resolve() in replaced:
            raise ConfigError(
                f"{source} would be overwritten; choose another folder than {dataset}"
            )
    packed = api.pack(
        catalog,
        dataset,
        config=config_of(PackConfig, config),
        rules=Rules.read(rules, drop),
        workers=workers,
        overwrite=overwrite,
    )
    summary = summary_of(packed.path, packed.info)
    return Result(summary_lines(summary, dataset), asdict(summary))


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
