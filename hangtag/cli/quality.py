"""Commands about the quality of models and tags: evaluate, compare, audit."""

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from hangtag.cli.options import Cluster, Output, Precision, Result, TagsFile, Workers
from hangtag.errors import ConfigError

Split = Annotated[
    Literal["test", "validation"] | None,
    Parameter(
        help="The split to measure on; auto is test, or validation without a test split.",
        show_default="auto",
    ),
]


def evaluate(
    model: Path,
    dataset: Path,
    /,
    *,
    split: Split = None,
    tags_file: TagsFile = None,
    precision: Precision = "auto",
    output: Output | None = None,
) -> Result:
    """Measure a model on designs it has not seen, and write report.html into its folder.

    Parameters
    ----------
    model
        The folder that `hangtag train` wrote.
    dataset
        The packed dataset.
    """
    from hangtag import api
    from hangtag.quality.evaluate import table_lines

    opened = api.load_model(model, precision=precision)
    report = opened.evaluate(api.load_dataset(dataset, tags_file=tags_file), split=split)
    page = report.save()
    lines = [*table_lines(report.evaluation), f"\nreport: {page}"]
    return Result(lines, report.evaluation.as_json())


def compare(
    model_a: Path,
    model_b: Path,
    dataset: Path,
    /,
    *,
    split: Split = None,
    tags_file: TagsFile = None,
    output: Output | None = None,
) -> Result:
    """Compare two models on the same designs, with confidence intervals of the differences.

    Parameters
    ----------
    model_a
        A folder that `hangtag train` wrote.
    model_b
        The model to compare it with.
    dataset
        The packed dataset.
    """
    from hangtag import api
    from hangtag.quality.compare import table_lines

    folder = api.load_dataset(dataset, tags_file=tags_file)
    comparison = api.compare(model_a, model_b, folder, split=split)
    return Result(table_lines(comparison), comparison.as_json())


def audit(
    model: Path,
    catalog: Path,
    /,
    *,
    out: Path = Path("audit.csv"),
    work: Path | None = None,
    workers: Workers = None,
    cluster: Cluster = None,
    output: Output | None = None,
) -> Result:
    """List a catalog's likely missing and likely wrong tags, most confident first; resumable.

    Every design is judged by its picture and its other tags, without having been learned from.
    OUT.rejected.csv lists designs that cannot be read.

    Parameters
    ----------
    model
        The folder that `hangtag train` wrote; its tags are used.
    catalog
        The .csv, .jsonl or .parquet file to audit.
    out
        The .csv file to write.
    work
        Folder for intermediate files, removed at the end; by default OUT.work.
    """
    from hangtag import api
    from hangtag.library.catalog import Catalog
    from hangtag.quality.audit import is_audit, write_findings
    from hangtag.storage.files import refuse_foreign

    rows = Catalog.read(catalog)
    if out.suffix != ".csv":
        raise ConfigError(f"{out}: name a .csv file")
    refuse_foreign(out, is_audit, "hangtag audit")
    folder = work or out.with_name(f"{out.name}.work")
    rejected = out.with_suffix(".rejected.csv")
    found = api.audit(model, rows, work=folder, rejected=rejected, workers=workers, cluster=cluster)
    write_findings(out, found)
    counts = Counter(finding.problem for finding in found)
    return Result(
        [f"{counts['missing']:,} tags likely missing, {counts['wrong']:,} likely wrong -> {out}"],
        {"out": out, **counts, "findings": [asdict(finding) for finding in found]},
    )
