"""Commands that put tags on designs and take them back: tag, untag, serve."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from hangtag.cli.options import Output, Result, Workers, config_of, options_of
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
    *paths: Annotated[Path, Parameter(required=True)],
    out: Path | None = None,
    top: int | None = None,
    min_score: float | None = None,
    all_tags: Annotated[bool, Parameter(name="--all")] = False,
    xmp: bool = False,
    workers: Workers = None,
    output: Output | None = None,
) -> Result:
    """Suggest tags for designs; resumable with --out.

    Parameters
    ----------
    model
        The folder that `hangtag train` wrote.
    paths
        Designs, folders of designs, or catalogs.
    out
        The .jsonl or .csv file to write; by default JSON lines are printed.
    top
        The TOP best tags of every design, instead of those above their thresholds.
    min_score
        One threshold for all tags, 0 to 1, instead of each tag's own.
    all_tags
        Every tag of the vocabulary with its score; --top and --min-score still limit them.
    xmp
        Also add the tags to .xmp sidecar files, which photo tools read; existing tags stay.
    """
    from hangtag import api
    from hangtag.tagging.bulk import summary_line

    if out is not None and out.resolve() in {path.resolve() for path in paths}:
        raise ConfigError(f"{out} is to be tagged itself; name another file with --out")
    if top is not None and top < 1:
        raise ConfigError(f"--top {top}: choose 1 or more")
    if min_score is not None and not 0 <= min_score <= 1:
        raise ConfigError(f"--min-score {min_score:g}: choose 0 to 1")
    opened = api.load_model(model)
    selection: dict[str, Any] = {"top": top, "min_score": min_score, "all_tags": all_tags}
    if out is None:
        return _streamed(opened.tag_each(paths, **selection, xmp=xmp, workers=workers))
    found = opened.tag_library(paths, out, **selection, xmp=xmp, workers=workers)
    failure = "" if found.tagged else "no design could be tagged"
    return Result([summary_line(found, out)], asdict(found), failure)


def _streamed(designs: "Iterator[TaggedDesign]") -> Result:
    """Print every design as soon as it is tagged: a large library takes long."""
    tagged = 0
    for design in designs:
        tagged += design.error is None
        print(json.dumps(design.as_json(), ensure_ascii=False), flush=True)
    return Result([], None, "" if tagged else "no design could be tagged", streamed=True)


def untag(
    *paths: Annotated[Path, Parameter(required=True)],
    model: str | None = None,
    below: float | None = None,
    tag: tuple[str, ...] = (),
    output: Output | None = None,
) -> Result:
    """Take back the tags that models wrote into metadata; tags of people stay.

    Parameters
    ----------
    paths
        Designs, folders of designs, or catalogs.
    model
        Only tags of this model: its folder, or the name or fingerprint in the marks.
    below
        Only tags with a lower score, 0 to 1.
    tag
        Only this tag; can be given several times.
    """
    from hangtag import api
    from hangtag.tagging.untag import untag_line

    if below is not None and not 0 <= below <= 1:
        raise ConfigError(f"--below {below:g}: choose 0 to 1")
    found = api.untag(paths, model=model, below=below, tags=tag)
    return Result([untag_line(found)], asdict(found))


def serve(
    model: Path,
    /,
    *,
    config: ServeOptions = None,
    output: Output | None = None,
) -> None:
    """Serve a model over HTTP: an endpoint as on SageMaker, named tags, and a page in the browser.

    Parameters
    ----------
    model
        The folder that `hangtag train` wrote.
    """
    from hangtag import api

    api.serve(model, config_of(ServeConfig, config))
