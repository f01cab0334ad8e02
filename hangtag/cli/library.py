"""Commands about a library: sample, import, vocabulary."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from hangtag.cli.options import Answer, Output, Overwrite
from hangtag.errors import ConfigError
from hangtag.library.rules import MIN_COUNT

Kind = Literal["lst", "manifest", "sidecar", "xmp", "svg", "openclipart", "folder"]


def sample(
    folder: Path, /, *, designs: int = 1600, seed: int = 0, output: Output | None = None
) -> Answer:
    """Draw a small design library to try hangtag on.

    Parameters
    ----------
    folder
        Where to draw it; made if missing.
    designs
        How many designs.
    seed
        Another seed draws another library.
    """
    from hangtag import api

    catalog = api.draw_sample(folder, designs=designs, seed=seed)
    file = folder / "designs.csv"
    return Answer(
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
    overwrite: Overwrite = False,
    output: Output | None = None,
) -> Answer:
    """Turn a library in another format into a catalog.

    Parameters
    ----------
    kind
        lst (MXNet list), manifest (SageMaker augmented manifest), sidecar (a.png + a.txt), xmp
        (XMP and IPTC keywords), svg (RDF metadata), openclipart (Debian's package), folder
        (folder names are tags).
    source
        The list or the folder.
    out
        The catalog to write: .csv, .jsonl or .parquet.
    tags_file
        Tag names in the order of the label columns, for lst and manifest.
    images
        Folder that the paths of a list start from; by default the list's own.
    attribute
        The label attribute of a manifest that has several.
    label_format
        How a manifest gives labels.
    prefer
        Which image openclipart designs come as.
    overwrite
        Replace the catalog that `out` names.
    """
    from hangtag import api

    if out.exists() and not overwrite:
        raise ConfigError(f"{out} exists; name another file with --out, or replace it: --overwrite")
    catalog = api.import_catalog(
        kind, source, tags_file=tags_file, images=images, attribute=attribute,
        label_format=label_format, prefer=prefer,
    )  # fmt: skip
    catalog.write(out)
    tagged = sum(bool(design.tags) for design in catalog)
    tags = len({tag for design in catalog for tag in design.tags})
    return Answer(
        [f"{len(catalog):,} designs, {tagged:,} with tags, {tags:,} different tags -> {out}"],
        {"designs": len(catalog), "tagged": tagged, "tags": tags, "catalog": out},
    )


vocabulary = App(
    name="vocabulary", help="Find better tag names, and change them: rules that `pack` follows."
)
RulesFile = Annotated[
    Path, Parameter(name="--rules", help="The rules file to add to; made if missing.")
]


@vocabulary.command(name="suggest")
def suggest(
    catalog: Path,
    /,
    *,
    out: Path = Path("proposed-rules.txt"),
    rules: Path | None = None,
    drop: Path | None = None,
    min_count: int = MIN_COUNT,
    model: Path | None = None,
    dataset: Path | None = None,
    output: Output | None = None,
) -> Answer:
    """Propose aliases and implications that a catalog suggests; nothing is changed.

    Parameters
    ----------
    catalog
        A .csv, .jsonl or .parquet file with the columns image and tags.
    out
        The file to write: rules as comments, to be accepted one by one.
    rules
        Rules that hold already.
    drop
        File of tags that are left out already.
    min_count
        Tags on fewer designs count as rare.
    model
        A trained model, to find tags whose designs look the same; needs --dataset.
    dataset
        The packed dataset that it was trained on.
    """
    from hangtag import api
    from hangtag.library.rule_changes import write_proposals
    from hangtag.library.rules import Rules

    if out.exists():
        raise ConfigError(f"{out} exists, perhaps with your choices; name another file with --out")
    found = api.suggest_rules(
        catalog, rules=Rules.read(rules, drop), min_count=min_count, model=model, dataset=dataset
    )
    write_proposals(out, (proposal.line() for proposal in found))
    lines = []
    for kind, title in (("alias", "same tag"), ("implication", "follows"), ("rare", "too rare")):
        some = [proposal for proposal in found if proposal.kind == kind]
        lines += [f"{title}: {len(some):,}", *(f"  {one.line()}" for one in some[:5])]
    return Answer(
        [*lines, f"all of them -> {out}"],
        {"rules": out, "proposals": [{"kind": one.kind, "rule": one.line()} for one in found]},
    )


@vocabulary.command(name="rename")
def rename(
    old: str, new: str, /, *, rules: RulesFile = Path("rules.txt"), output: Output | None = None
) -> Answer:
    """Give a tag another name; the old one stays an alias, so that models still know it.

    Parameters
    ----------
    old
        The name so far.
    new
        The name from now on.
    """
    from hangtag.library import rule_changes

    return _changed(rules, rule_changes.rename(rules, old, new))


@vocabulary.command(name="merge")
def merge(
    *tags: str, into: str, rules: RulesFile = Path("rules.txt"), output: Output | None = None
) -> Answer:
    """Make one tag of several.

    Parameters
    ----------
    tags
        The tags that become one.
    into
        Its name; may be one of them.
    """
    from hangtag.library import rule_changes

    return _changed(rules, rule_changes.merge(rules, tags, into))


@vocabulary.command(name="split")
def split(
    tag: str, /, *, beside: str, into: str, rules: RulesFile = Path("rules.txt"),
    output: Output | None = None,
) -> Answer:  # fmt: skip
    """Part a tag of two meanings by another tag that tells them apart.

    Parameters
    ----------
    tag
        The tag, such as bat.
    beside
        Designs that have this tag too, such as ball, ...
    into
        ... get this one in place of the first, such as baseball bat.
    """
    from hangtag.library import rule_changes

    return _changed(rules, rule_changes.split(rules, tag, beside, into))


@vocabulary.command(name="drop")
def drop(*tags: str, rules: RulesFile = Path("rules.txt"), output: Output | None = None) -> Answer:
    """Leave tags out of every dataset that is packed with these rules.

    Parameters
    ----------
    tags
        The tags to leave out.
    """
    from hangtag.library import rule_changes

    return _changed(rules, rule_changes.drop(rules, tags))


def _changed(rules: Path, line: str) -> Answer:
    return Answer([f"{rules}: {line}"], {"rules": rules, "added": line})
