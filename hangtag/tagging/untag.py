"""Machine tags taken back out of a library.

hangtag untag LIBRARY [--model M] [--below 0.8] [--tag T]
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hangtag.console import note, track
from hangtag.errors import CatalogError, ConfigError
from hangtag.library.keywords.embedded_tags import untag_embedded
from hangtag.library.keywords.embedding import FileTakenBack
from hangtag.library.keywords.machine_tags import Which
from hangtag.library.keywords.xmp_sidecars import untag_sidecars
from hangtag.library.keywords.xmp_undo import TakenBack
from hangtag.tagging.designs import Located


@dataclass(frozen=True)
class UntagSummary:
    """What was taken back."""

    designs: int
    """All designs looked at."""

    untagged: int
    """Those of which tags were taken back."""

    tags: int
    """Tags taken back from all of them."""

    by_model: dict[str, int]
    """The same per model, NAME@FINGERPRINT."""

    edited: int
    """Files that another program had changed since: the tags were cut out, the rest stayed."""

    failed: int
    """Designs with metadata that cannot be read or written; it was left as it is."""


def untag_library(designs: Sequence[Located], which: Which) -> UntagSummary:
    """Take the machine tags that are in `which` back out of the designs' sidecars and files.

    A file that nobody has changed since gets the bytes that it had before; a sidecar that hangtag
    made is removed. Raises ConfigError for designs that are not on this machine.
    """
    remote = next((design.location for design in designs if not design.is_local), None)
    if remote is not None:
        raise ConfigError(f"tags are taken back on this machine, and {remote} is not on it")
    models: Counter[str] = Counter()
    untagged = edited = failed = 0
    for design in track(designs, "taking tags back", total=len(designs)):
        image = Path(design.location)
        changed: list[TakenBack | FileTakenBack] = []
        is_failed = False
        for untag in (untag_sidecars, untag_embedded):  # one may work where the other fails
            try:
                changed += untag(image, which)
            except CatalogError as error:
                note(f"not changed: {error}")
                is_failed = True
            except OSError as error:
                note(f"not changed: {image}: {error.strerror or error}")
                is_failed = True
        failed += is_failed
        untagged += bool(changed)
        edited += sum(not was.exact for was in changed)
        # Once per design, also where the file and its sidecar have it.
        models.update(mark.model for mark in {mark for was in changed for mark in was.tags})
    total = models.total()
    return UntagSummary(len(designs), untagged, total, dict(models.most_common()), edited, failed)


def untag_line(summary: UntagSummary) -> str:
    """Return the closing line for a person."""
    line = (
        f"{summary.tags:,} tags taken back from {summary.untagged:,} of {summary.designs:,} designs"
    )
    if summary.edited:
        line += (
            f"; {summary.edited:,} files had been changed by other programs since, and keep those"
            " changes"
        )
    if summary.failed:
        line += f"; {summary.failed:,} cannot be read or written and are as they were"
    return line
