"""Commands that put tags on designs: tag, serve."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from hangtag.cli.options import Answer, Output, Workers, config_of, options_of
from hangtag.errors import ConfigError
from hangtag.service.config import ServeConfig

if TYPE_CHECKING:
    from hangtag.tagging.output import TaggedDesign

    ServeOptions = ServeConfig | None
else:
    ServeOptions = options_of(ServeConfig)


def tag(
    model: Path,
    /,
    *paths: Path,
    out: Path | None = None,
    top: int | None = None,
    min_score: float | None = None,
    all_tags: Annotated[bool, Parameter(name="--all", negative="")] = False,
    xmp: Annotated[bool, Parameter(negative="")] = False,
    workers: Workers = None,
    output: Output | None = None,
) -> Answer:
    """Put tags on designs; resumable with --out.

    Parameters
    ----------
    model
        The folder that `hangtag train` wrote.
    paths
        Designs, folders of designs, or catalogs.
    out
        A .jsonl or .csv file to write; without it, JSON lines go to the terminal.
    top
        At most this many tags of a design, whatever their thresholds.
    min_score
        Only tags of at least this score; by default each tag's own threshold.
    all_tags
        Every tag of the vocabulary with its score, whatever the thresholds; --top and --min-score
        still limit them.
    xmp
        Also add the tags to .xmp sidecar files, which photo tools read; tags already there stay.
    """
    from hangtag import api
    from hangtag.tagging.bulk import summary_line

    if out is not None and out.resolve() in {path.resolve() for path in paths}:
        raise ConfigError(f"{out} is what is to be tagged; name another file with --out")
    if top is not None and top < 1:
        raise ConfigError(f"--top {top}: must be 1 or more")
    if min_score is not None and not 0 <= min_score <= 1:
        raise ConfigError(f"--min-score {min_score:g}: scores are 0 to 1")
    opened = api.load_model(model)
    kept: dict[str, Any] = {"top": top, "min_score": min_score, "all_tags": all_tags}
    if out is None:
        return _streamed(opened.tag_each(paths, **kept, xmp=xmp, workers=workers))
    found = opened.tag_library(paths, out, **kept, xmp=xmp, workers=workers)
    failure = "" if found.tagged else "no design could be tagged"
    return Answer([summary_line(found, out)], asdict(found), failure)


def _streamed(designs: "Iterator[TaggedDesign]") -> Answer:
    """Print designs as they are tagged: nobody waits for the last one of a large library."""
    tagged = 0
    for design in designs:
        tagged += design.error is None
        print(json.dumps(design.as_json(), ensure_ascii=False), flush=True)
    return Answer([], None, "" if tagged else "no design could be tagged", streamed=True)


def serve(
    model: Path,
    /,
    *,
    config: ServeOptions = None,
    output: Output | None = None,
) -> None:
    """Serve a model: SageMaker's endpoint and named tags for programs, a page for people.

    Parameters
    ----------
    model
        The folder that `hangtag train` wrote.
    """
    from hangtag import api

    api.serve(model, config_of(ServeConfig, config))
