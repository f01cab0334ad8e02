"""Machine tags in the metadata of a library: taken back."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hangtag.api.arguments import StrPath, local
from hangtag.api.model import Model

if TYPE_CHECKING:
    from hangtag.tagging.untag import UntagSummary


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


def _name(model: Model | StrPath | None) -> str | None:
    """Return the fingerprint of a model or model folder, and any other name as it is."""
    if model is None:
        return None
    from hangtag.tagging.model_folder import CONFIG_FILE, ModelFolder

    folder = model.path if isinstance(model, Model) else local(model)
    if (folder / CONFIG_FILE).exists():
        return ModelFolder.open(folder).fingerprint
    return str(model)
