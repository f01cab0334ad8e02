"""Machine tags in a library: merged, written while it is watched, and taken back."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from hangtag.api.arguments import StrPath, local, optional
from hangtag.api.model import Model, model_of

if TYPE_CHECKING:
    from hangtag.tagging.bulk import BulkSummary
    from hangtag.tagging.metadata import Xmp
    from hangtag.tagging.untag import UntagSummary


def merge_tags(out: StrPath, folders: Sequence[StrPath] = ()) -> "BulkSummary":
    """Write `out` of the shards that `Model.tag_library` wrote beside it and in `folders`.

    It is what tagging the whole library writes, byte for byte. Raises ConfigError where parts are
    missing or come from different models or options.
    """
    from hangtag.tagging.parts import merge_tagged

    return merge_tagged(local(out), [local(folder) for folder in folders])


def untag(
    paths: Sequence[StrPath], *, model: Model | StrPath | None = None, below: float | None = None,
    tags: Sequence[str] = (),
) -> "UntagSummary":  # fmt: skip
    """Take back the tags that models put on designs; tags of people stay.

    `paths` are files, folders and catalogs. Without a condition every machine tag is taken back,
    else those that `model` wrote (a model, its folder, or the name or fingerprint in the marks),
    those with a score `below`, and those named in `tags`; conditions hold together. A file that was
    not changed since is byte for byte as before. Raises CatalogError, ConfigError.
    """
    from hangtag.library.keywords.machine_tags import Which
    from hangtag.tagging.designs import find_designs
    from hangtag.tagging.untag import untag_library

    which = Which(_name(model), below, tuple(tags))
    return untag_library(find_designs([local(path) for path in paths]), which)


def watch(
    model: Model | StrPath, folders: Sequence[StrPath], *, out: StrPath | None = None,
    xmp: "Xmp" = True, poll: bool = False, language: str | None = None,
    workers: int | None = None,
) -> "Iterator[BulkSummary]":  # fmt: skip
    """Tag what is new or changed in folders, now and whenever that happens; ends with Ctrl-C.

    Yields a summary after every round. `out` (default: .hangtag-watch.jsonl in the first folder)
    holds the tags, and what was tagged: a later call continues from there. `xmp` writes the tags
    into sidecars, with "embed" into the files that can hold them. `poll` looks at all files every
    two seconds, for network drives, which report no changes. `language` gives tags by their names
    in it. Raises ConfigError, ModelError, VocabularyError.
    """
    from hangtag.tagging.selection import Selection
    from hangtag.tagging.watch import watch_folders

    opened = model_of(model)
    if language is not None:
        opened.vocabulary.names_in(language)  # before the first round
    return watch_folders(
        opened.path, [local(folder) for folder in folders], Selection(language=language),
        out=optional(out), xmp=xmp, poll=poll, workers=workers or 0,
        asked=opened.asked,
    )  # fmt: skip


def _name(model: Model | StrPath | None) -> str | None:
    """Return the fingerprint of a model or model folder, and any other name as it is."""
    if model is None:
        return None
    from hangtag.tagging.model_folder import CONFIG_FILE, ModelFolder

    folder = model.path if isinstance(model, Model) else local(model)
    if (folder / CONFIG_FILE).exists():
        return ModelFolder.open(folder).fingerprint
    return str(model)
