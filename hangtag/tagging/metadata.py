"""Kept tags of a bulk run, written into the metadata of the designs: sidecars, or the files."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from hangtag.console import note
from hangtag.errors import CatalogError, ConfigError
from hangtag.library.keywords.embedded_tags import write_tags
from hangtag.tagging.designs import Located
from hangtag.tagging.model_folder import ModelFolder
from hangtag.tagging.output import Stamp, TaggedDesign

# Whether tags are written into metadata: no, into sidecars, or into files that can hold them.
Xmp = bool | Literal["embed"]


def check_local(designs: Sequence[Located]) -> None:
    """Raise ConfigError for designs that are not on this machine."""
    remote = next((design.location for design in designs if not design.is_local), None)
    if remote is not None:
        raise ConfigError(f"--xmp writes beside the designs, and {remote} is not on this machine")


def stamp_of(location: str) -> Stamp | None:
    """Return size in bytes and time in nanoseconds of a file; None for one that is not here."""
    try:
        found = os.stat(location)  # noqa: PTH116  # half a million of them
    except (OSError, ValueError):
        return None
    return found.st_size, found.st_mtime_ns


def with_metadata(
    design: TaggedDesign, location: str, model: ModelFolder, xmp: Xmp
) -> TaggedDesign:
    """Add the tags to a design's metadata, and return it with what became of that.

    What cannot be written stays as it is, and a note says so.
    """
    if not design.suggestions or not xmp:
        return design
    try:
        changed = write_tags(Path(location), design.marks(model), embed=xmp == "embed")
    except CatalogError as error:
        note(f"metadata not changed: {error}")
        return replace(design, is_unwritten=True)
    except OSError as error:
        note(f"metadata not changed: {location}: {error.strerror or error}")
        return replace(design, is_unwritten=True)
    return replace(design, stamp=stamp_of(location)) if changed else design
