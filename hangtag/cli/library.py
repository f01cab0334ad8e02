"""Commands about a library: sample, import."""

from pathlib import Path
from typing import Literal

from hangtag.cli.options import Output, Result
from hangtag.errors import ConfigError

Kind = Literal["lst", "manifest", "sidecar", "xmp", "svg", "openclipart", "folder"]


def sample(
    folder: Path, /, *, designs: int = 1600, seed: int = 0, output: Output | None = None
) -> Result:
    """Draw a small design library to try hangtag on.

    Parameters
    ----------
    folder
        The folder to write; created if missing.
    designs
        Number of designs.
    seed
        Random seed; another one draws another library.
    """
    from hangtag import api

    catalog = api.draw_sample(folder, designs=designs, seed=seed)
    file = folder / "designs.csv"
    return Result(
        [f"{len(catalog):,} designs in {folder}, their tags in {file}"],
        {"designs": len(catalog), "catalog": file},
    )


def import_(
    kind: Kind,
    source: Path,
    /,
    *,
    out: Path = Path("designs.csv"),
    tags_file: Path | None = None,
    images: Path | None = None,
    attribute: str | None = None,
    label_format: Literal["multi-hot", "class-id"] | None = None,
    prefer: Literal["png", "svg"] | None = None,
    paths: bool = False,
    overwrite: bool = False,
    output: Output | None = None,
) -> Result:
    """Write the catalog of a library in another format.

    Parameters
    ----------
    kind
        lst (MXNet list), manifest (SageMaker augmented manifest), sidecar (a.png + a.txt), xmp
        (XMP and IPTC keywords), svg (RDF metadata), openclipart (Debian's package), folder
        (folder names are tags).
    source
        The list or folder to import.
    out
        The catalog to write: .csv, .jsonl or .parquet.
    tags_file
        Tag names in the order of the label columns, one per line, for lst and manifest.
    images
        Base folder of the paths in a list; by default the list's own folder.
    attribute
        Label attribute of a manifest that has several.
    label_format
        Format of a manifest's labels; by default detected.
    prefer
        Image format of openclipart designs; by default png.
    paths
        For xmp and folder: keep levels, as in animal/cat, instead of their names alone.
    overwrite
        Replace an existing file OUT.
    """
    from hangtag import api

    if out.exists() and not overwrite:
        raise ConfigError(
            f"{out} exists; name another file with --out, or replace it with --overwrite"
        )
    catalog = api.import_catalog(
        kind, source, tags_file=tags_file, images=images, attribute=attribute,
        label_format=label_format, prefer=prefer, paths=paths or None,
    )  # fmt: skip
    catalog.write(out)
    tagged = sum(bool(design.tags) for design in catalog)
    tags = len({tag for design in catalog for tag in design.tags})
    return Result(
        [f"{len(catalog):,} designs, {tagged:,} with tags, {tags:,} different tags -> {out}"],
        {"designs": len(catalog), "tagged": tagged, "tags": tags, "catalog": out},
    )
