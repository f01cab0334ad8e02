"""Commands of the review: serve it, export its answers."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from hangtag.cli.options import Output, Result, Workers, config_of
from hangtag.cli.tagging import ServeOptions
from hangtag.errors import ConfigError
from hangtag.service.config import ServeConfig

app = App(name="review", help="Review the tags of a catalog in the browser, and use the answers.")
Answers = Annotated[Path, Parameter(help="The file of all answers; created if missing.")]


@app.default
def review(
    model: Path,
    catalog: Path,
    /,
    *,
    answers: Answers = Path("review.sqlite"),
    audit: Path | None = None,
    config: ServeOptions = None,
    workers: Workers = None,
    output: Output | None = None,
) -> None:
    """Review the tags of a catalog in the browser; the most helpful questions come first.

    Every answer is learned from at once, and the next questions come from what was learned.

    `hangtag review export` writes the answers into a catalog.

    Parameters
    ----------
    model
        The folder that `hangtag train` wrote.
    catalog
        The .csv, .jsonl or .parquet file to review; it is not changed.
    audit
        The audit.csv that `hangtag audit` wrote; by default each design is judged by the others.
    """
    from hangtag import api

    api.serve_review(
        model,
        catalog,
        answers,
        audit=audit,
        config=config_of(ServeConfig, config),
        workers=workers,
    )


@app.command(name="export")
def export(
    catalog: Path,
    out: Path,
    /,
    *,
    answers: Answers = Path("review.sqlite"),
    to: Literal["catalog", "label-studio", "fiftyone"] = "catalog",
    model: Path | None = None,
    images: str = "/data/local-files/?d=",
    workers: Workers = None,
    overwrite: bool = False,
    output: Output | None = None,
) -> Result:
    """Write a catalog with the answers of a review: yes joins its tags, no its not_tags.

    Parameters
    ----------
    catalog
        The catalog that was reviewed.
    out
        The file to write: .csv, .jsonl or .parquet for a catalog, .json for the other tools.
    to
        A catalog, Label Studio tasks with pre-annotations (and the labelling configuration, .xml,
        beside them), or FiftyOne's labels.
    model
        For Label Studio and FiftyOne: a trained model, whose unanswered suggestions are added.
    images
        For Label Studio: the prefix of an image's path.
    overwrite
        Replace an existing file OUT, and the configuration beside it.
    """
    from hangtag import api

    written = [out, *([out.with_suffix(".xml")] if to == "label-studio" else [])]
    for path in written:
        if path.exists() and not overwrite:
            raise ConfigError(f"{path} exists; name another file, or replace it with --overwrite")
    if to != "catalog" and out.suffix != ".json":
        raise ConfigError(f"{out}: name a .json file for {to}")
    if to == "catalog" and model is not None:
        raise ConfigError("--model: a catalog contains human tags only; leave it out, or give --to")
    found = api.export_review(
        catalog, answers, out, to=to, model=model, images=images, workers=workers
    )
    yes = sum(one.answer == "yes" for one in found)
    no = len(found) - yes
    return Result([f"{yes:,} yes and {no:,} no -> {out}"], {"yes": yes, "no": no, "out": out})
