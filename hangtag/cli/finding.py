"""Commands that find designs again: index, similar, duplicates, search, teach."""

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from hangtag.cli.options import Cluster, Output, Result, Workers
from hangtag.errors import ConfigError

By = Annotated[
    Literal["content", "style"],
    Parameter(help="Compare what designs show, or how they are drawn."),
]


def index(
    library: Path,
    folder: Annotated[Path, Parameter(name="index")],
    /,
    *,
    model: Path | None = None,
    workers: Workers = None,
    cluster: Cluster = None,
    output: Output | None = None,
) -> Result:
    """Index a library, so that its designs are found again; resumable.

    The same command again brings the index up to date: new and changed designs alone are computed.

    Parameters
    ----------
    library
        A catalog, or a folder of designs.
    folder
        The folder to write.
    model
        The folder that `hangtag train` wrote; its scores are added, which `hangtag search` uses.
    """
    from hangtag import api

    found = api.build_index(library, folder, model=model, workers=workers, cluster=cluster).summary
    assert found is not None
    line = f"{found.designs:,} designs -> {folder}; {found.computed:,} computed"
    changes = {"renamed": found.renamed, "removed": found.removed}
    line += "".join(f", {count:,} {name}" for name, count in changes.items() if count)
    if found.rejected:
        line += f"; {sum(found.rejected.values()):,} unreadable, see {folder / 'rejected.csv'}"
    return Result([line], {"index": folder, **asdict(found)})


def similar(
    folder: Annotated[Path, Parameter(name="index")],
    /,
    *designs: Annotated[Path, Parameter(required=True)],
    against: Annotated[
        tuple[Path, ...], Parameter(name="--not", help="Counter-examples; repeat it for several.")
    ] = (),
    by: By = "content",
    top: int = 20,
    output: Output | None = None,
) -> Result:
    """List the designs of an index that are most like one or several designs.

    Parameters
    ----------
    folder
        The folder that `hangtag index` wrote.
    designs
        The designs to compare with; they need not be in the index.
    top
        How many designs to list.
    """
    from hangtag import api

    found = api.load_index(folder).similar(designs, against=against, by=by, top=top)
    lines = [f"{one.similarity:6.3f}  {one.image}" for one in found]
    return Result(lines, [asdict(one) for one in found])


def duplicates(
    folder: Annotated[Path, Parameter(name="index")],
    /,
    *,
    out: Path = Path("duplicates.csv"),
    page: Path | None = None,
    workers: Workers = None,
    output: Output | None = None,
) -> Result:
    """List designs that show one drawing, and which of them to keep; nothing is deleted.

    Found are exact copies, other sizes and colours, flipped copies and copies on white.

    Parameters
    ----------
    folder
        The folder that `hangtag index` wrote.
    out
        The .csv file to write.
    page
        An .html file to write as well: the groups as pictures.
    """
    from hangtag import api
    from hangtag.index.duplicates import is_duplicates, write_duplicates
    from hangtag.storage.files import refuse_foreign

    if out.suffix != ".csv":
        raise ConfigError(f"{out}: name a .csv file")
    if page is not None and page.suffix != ".html":
        raise ConfigError(f"--page {page}: name an .html file")
    refuse_foreign(out, is_duplicates, "hangtag duplicates")
    opened = api.load_index(folder)
    found = opened.duplicates(workers=workers)
    write_duplicates(out, found)
    if page is not None:
        opened.save_page(found, page)
    groups = sum(one.keep for one in found)
    return Result(
        [f"{len(found):,} designs in {groups:,} groups -> {page or out}"],
        {"out": out, "groups": groups, "designs": [asdict(one) for one in found]},
    )


def search(
    folder: Annotated[Path, Parameter(name="index")],
    query: str,
    /,
    *,
    top: int = 50,
    output: Output | None = None,
) -> Result:
    """Find designs by words: human tags, tags that the model suggests, and colours.

    Parameters
    ----------
    folder
        The folder that `hangtag index` wrote.
    query
        Names that the designs should have; those after a minus they should not have. Quotation
        marks join words to one name.
    top
        How many designs to list.
    """
    from hangtag import api

    if top < 1:
        raise ConfigError(f"--top {top}: choose 1 or more")
    found = api.load_index(folder).search(query, top=top)
    lines = []
    for one in found:
        reasons = ", ".join(f"{why.name} {why.score:.2f} ({why.by})" for why in one.reasons)
        lines.append(f"{one.score:5.3f}  {one.image}  {reasons}")
    return Result(lines, [asdict(one) for one in found])


def teach(
    model: Path,
    tag: str,
    /,
    *,
    yes: Annotated[
        tuple[Path, ...],
        Parameter(consume_multiple=True, help="Designs that have the tag, 5 to 20 of them."),
    ] = (),
    no: Annotated[
        tuple[Path, ...],
        Parameter(consume_multiple=True, help="Designs that do not have it although they look so."),
    ] = (),
    folder: Annotated[
        Path | None,
        Parameter(name="--index", help="The index of the library: lists what to answer next."),
    ] = None,
    forget: Annotated[
        bool, Parameter(negative="", help="Take a tag that was taught out of the model again.")
    ] = False,
    output: Output | None = None,
) -> Result:
    """Teach a model a new tag from a few examples, without a training; other tags stay as they are.

    The same command with more examples teaches the tag further. With --forget the tag and its
    examples are dropped; with --index the command that would teach it again is printed.

    Parameters
    ----------
    model
        The folder that `hangtag train` wrote; it is changed.
    tag
        The name of the tag.
    """
    from hangtag import api

    if forget:
        if yes or no:
            raise ConfigError("--forget takes no examples: leave out --yes and --no")
        dropped = api.forget(model, tag, index=folder)
        lines = [f"{dropped.tag!r} forgotten, with {dropped.yes} yes and {dropped.no} no"]
        if folder is not None:
            known = {
                label: [one.location for one in dropped.designs if one.yes is label]
                for label in (True, False)
            }
            if missing := dropped.yes + dropped.no - len(dropped.designs):
                lines.append(f"{missing} of these examples are not in {folder}")
            if known[True]:
                command = _teaching(model, dropped.tag, known[True], known[False], folder)
                lines += ["to teach it again:", f"  {command}"]
        return Result(lines, asdict(dropped))
    found = api.teach(model, tag, yes, no=no, index=folder)
    lines = [
        f"{found.tag!r} learned from {found.yes} yes and {found.no} no; suggested from a score of "
        f"{found.threshold:.2f}"
    ]
    for title, some in (("most likely", found.likely), ("answer next", found.questions)):
        if some:
            lines += [f"{title}:", *(f"  {one.score:.2f}  {one.image}" for one in some)]
    return Result(lines, asdict(found))


def _teaching(model: Path, tag: str, yes: list[str], no: list[str], folder: Path) -> str:
    """Return the command that teaches a tag."""
    examples = ["--yes", *yes, *(["--no", *no] if no else [])]
    return shlex.join(["hangtag", "teach", str(model), tag, *examples, "--index", str(folder)])
