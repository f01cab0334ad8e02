"""Commands of the review: ask people, export what they answered."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from hangtag.cli.options import Answer, Output, Overwrite, Workers, config_of
from hangtag.cli.tagging import ServeOptions
from hangtag.errors import ConfigError
from hangtag.service.config import ServeConfig

app = App(name="review", help="Ask people about the tags that help most, and use their answers.")
Answers = Annotated[Path, Parameter(help="The file that keeps every answer; made if missing.")]


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
    """Ask people about the tags that help most, on a page in the browser.

    `hangtag review export` turns the answers into a catalog.

    Parameters
    ----------
    model
        The folder that `hangtag train` wrote.
    catalog
        The .csv, .jsonl or .parquet file whose tags are reviewed; it is not changed.
    audit
        The audit.csv that `hangtag audit` wrote; without one, the model's own scores are used.
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
    overwrite: Overwrite = False,
    output: Output | None = None,
) -> Answer:
    """Write a catalog with what people answered: yes joins its tags, no its not_tags.

    Parameters
    ----------
    catalog
        The catalog that was reviewed.
    out
        The file to write: a catalog is .csv, .jsonl or .parquet, for the other tools .json.
    to
        What to write: a catalog, Label Studio tasks with pre-annotations (and beside them the
        labelling configuration, .xml), or FiftyOne's labels.
    model
        For the other tools: a trained model whose suggestions are added, those not answered yet.
    images
        For Label Studio: what comes before the path of an image, as the catalog has it.
    overwrite
        Replace the file that `out` names, and the configuration beside it.
    """
    from hangtag import api

    written = [out, *([out.with_suffix(".xml")] if to == "label-studio" else [])]
    for path in written:
        if path.exists() and not overwrite:
            raise ConfigError(f"{path} exists; name another file, or replace it with --overwrite")
    if to != "catalog" and out.suffix != ".json":
        raise ConfigError(f"{out}: name a .json file for {to}")
    if to == "catalog" and model is not None:
        raise ConfigError(
            "--model: a catalog holds only what people said; leave it out, or give --to"
        )
    given = api.export_review(
        catalog, answers, out, to=to, model=model, images=images, workers=workers
    )
    yes = sum(one.answer == "yes" for one in given)
    no = len(given) - yes
    return Answer([f"{yes:,} yes and {no:,} no -> {out}"], {"yes": yes, "no": no, "out": out})
