"""Commands that put tags on designs and take them back: tag, untag, watch, serve."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from hangtag.cli.options import (
    Cluster,
    Output,
    Precision,
    Result,
    Shard,
    Workers,
    config_of,
    options_of,
)
from hangtag.errors import ConfigError
from hangtag.processes import begin_workers
from hangtag.service.config import ServeConfig

if TYPE_CHECKING:
    from hangtag.tagging.output import TaggedDesign

    ServeOptions = ServeConfig | None
else:
    ServeOptions = options_of(ServeConfig, unset=("index", "label_studio"))


def tag(
    model: Path,
    /,
    *paths: Annotated[Path, Parameter(required=True)],
    out: Path | None = None,
    top: int | None = None,
    min_score: float | None = None,
    all_tags: Annotated[bool, Parameter(name="--all")] = False,
    xmp: bool = False,
    colours: bool = False,
    palette: Path | None = None,
    words: bool = False,
    embed: bool = False,
    language: str | None = None,
    again: bool = False,
    precision: Precision = "auto",
    shard: Shard = None,
    workers: Workers = None,
    cluster: Cluster = None,
    output: Output | None = None,
) -> Result:
    """Suggest tags for designs; with --out resumable, and a second run tags only what changed.

    Parameters
    ----------
    model
        The folder that `hangtag train` wrote.
    paths
        Designs, folders of designs, or catalogs.
    out
        The .jsonl, .csv or .parquet file to write; by default JSON lines are printed.
    top
        The TOP best tags of every design, instead of those above their thresholds.
    min_score
        One threshold for all tags, 0 to 1, instead of each tag's own.
    all_tags
        Every tag of the vocabulary with its score; --top and --min-score still limit them.
    colours
        Also the main colours, of twelve, by the pixels; marked "kind": "colour".
    palette
        With --colours: a text file of other colours, one a line, such as `coral #ff7f50 #ff6f61`.
    words
        Also the words written in a design, an SVG's text or what text recognition reads; marked
        "kind": "word". Needs the `ocr` extra.
    xmp
        Also add the tags to .xmp sidecar files, which photo tools read; existing tags stay.
    embed
        With --xmp: write into JPEG, PNG, WebP and TIFF files themselves; pixels and other metadata
        stay as they are. Other formats get a sidecar.
    language
        Tags by their names in this language, such as de, where they have one: see `hangtag
        vocabulary set-names`.
    again
        Tag all designs, also those that an earlier run into OUT tagged and that have not changed.
    """
    if out is not None and out.resolve() in {path.resolve() for path in paths}:
        raise ConfigError(f"{out} is to be tagged itself; name another file with --out")
    if top is not None and top < 1:
        raise ConfigError(f"--top {top}: choose 1 or more")
    if min_score is not None and not 0 <= min_score <= 1:
        raise ConfigError(f"--min-score {min_score:g}: choose 0 to 1")
    if embed and not xmp:
        raise ConfigError("--embed says where --xmp writes; give both")
    if palette is not None and not colours:
        raise ConfigError("--palette says which colours --colours finds; give both")
    if shard is not None and out is None:
        raise ConfigError("--shard writes a part of a file; name the file with --out")
    if cluster is not None and out is None:
        raise ConfigError("--cluster writes a file; name it with --out")
    if cluster is None:
        begin_workers()
    from hangtag import api
    from hangtag.storage.parts import Part
    from hangtag.tagging.bulk import summary_line

    opened = api.load_model(model, precision=precision)
    settings: dict[str, Any] = {
        "top": top, "min_score": min_score, "all_tags": all_tags, "colours": colours,
        "palette": palette, "words": words,
        "xmp": "embed" if embed else xmp, "language": language, "workers": workers,
    }  # fmt: skip
    if out is None:
        return _streamed(opened.tag_each(paths, **settings))
    found = opened.tag_library(paths, out, again=again, shard=shard, cluster=cluster, **settings)
    is_empty = shard is not None and not found.rejected  # more shards than designs
    failure = "" if found.tagged or is_empty else "no design could be tagged"
    written = out if shard is None else Part.parse(shard).beside(out)
    return Result([summary_line(found, written)], asdict(found), failure)


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


def watch(
    model: Path,
    /,
    *folders: Annotated[Path, Parameter(required=True)],
    out: Path | None = None,
    xmp: bool = False,
    embed: bool = False,
    poll: bool = False,
    language: str | None = None,
    precision: Precision = "auto",
    workers: Workers = None,
    output: Output | None = None,
) -> Result:
    """Tag what is new or changed in folders, within seconds, until Ctrl-C; restarts continue.

    Parameters
    ----------
    model
        The folder that `hangtag train` wrote.
    folders
        Folders of designs, with the folders in them.
    out
        The .jsonl or .csv file of all tags, by which a restart knows what was tagged; by default
        .hangtag-watch.jsonl in the first folder.
    xmp
        Also add the tags to .xmp sidecar files, as `hangtag tag --xmp`.
    embed
        With --xmp: write into JPEG, PNG, WebP and TIFF files themselves.
    poll
        Look at all files every two seconds: for network drives, which report no changes.
    language
        Tags by their names in this language, as `hangtag tag --language`.
    """
    from hangtag import api
    from hangtag.tagging.bulk import summary_line
    from hangtag.tagging.watch import RECORD

    if embed and not xmp:
        raise ConfigError("--embed says where --xmp writes; give both")
    target = out or folders[0] / RECORD
    for found in api.watch(
        api.load_model(model, precision=precision), folders, out=target,
        xmp="embed" if embed else xmp, poll=poll, language=language, workers=workers,
    ):  # fmt: skip
        as_json = output is not None and output.json
        line = json.dumps(asdict(found)) if as_json else summary_line(found, target)
        print(line, flush=True)
    return Result([], None, streamed=True)


def serve(
    model: Path,
    /,
    *,
    config: ServeOptions = None,
    cluster: Cluster = None,
    output: Output | None = None,
) -> None:
    """Serve a model over HTTP: an endpoint as on SageMaker, named tags, and a page in the browser.

    Parameters
    ----------
    model
        The folder that `hangtag train` wrote.
    """
    from hangtag import api

    api.serve(model, config_of(ServeConfig, config), cluster=cluster)
