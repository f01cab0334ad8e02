"""Folders watched: what is new or changed in them is tagged within seconds.

hangtag watch MODEL FOLDER... --xmp
"""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from watchfiles import Change, watch

from hangtag.errors import CatalogError, ConfigError
from hangtag.library.image_files import IMAGE_SUFFIXES
from hangtag.tagging.bulk import BulkSummary
from hangtag.tagging.designs import Located, find_designs
from hangtag.tagging.incremental import tag_changed
from hangtag.tagging.metadata import Xmp
from hangtag.tagging.model_folder import ModelFolder
from hangtag.tagging.precision import Asked
from hangtag.tagging.selection import Selection

RECORD: Final = ".hangtag-watch.jsonl"
_DEBOUNCE_MS: Final = 1000  # changes within this time are one round
_POLL_MS: Final = 2000


def watch_folders(
    model: Path,
    folders: Sequence[Path],
    selection: Selection,
    *,
    out: Path | None = None,
    xmp: Xmp = False,
    poll: bool = False,
    workers: int = 0,
    asked: Asked = "auto",
    stop: threading.Event | None = None,
) -> Iterator[BulkSummary]:
    """Tag what is new or changed in folders, now and whenever that happens, until `stop` is set.

    Yields a summary after every round. `out` (default: RECORD in the first folder) holds the tags
    and what was tagged, so that a later call continues. `poll` looks at all files every two
    seconds, for drives that do not report changes. For `asked` see `ModelFolder.precision`. Raises
    ConfigError for what is no folder, ModelError.
    """
    for folder in folders:
        if not folder.is_dir():
            raise ConfigError(f"{folder}: not a folder on this machine; name folders to watch")
    out = folders[0] / RECORD if out is None else out
    # The watcher starts before the first round: nothing that happens meanwhile is missed.
    rounds = watch(
        *folders, watch_filter=_is_design, debounce=_DEBOUNCE_MS, force_polling=poll or None,
        poll_delay_ms=_POLL_MS, stop_event=stop, yield_on_timeout=True, rust_timeout=_DEBOUNCE_MS,
        raise_interrupt=True,
    )  # fmt: skip
    due = is_first = True
    for changes in rounds:
        due = due or bool(changes)
        if due:
            # Opened again: it may have been trained in between.
            opened = ModelFolder.open(model, asked)
            yield tag_changed(
                opened, _designs(folders), out, selection, workers=workers, xmp=xmp, retry=is_first
            )
            due = is_first = False


def _designs(folders: Sequence[Path]) -> list[Located]:
    found: dict[str, Located] = {}
    for folder in folders:
        try:
            found.update((one.location, one) for one in find_designs([folder]))
        except CatalogError:  # it is empty so far
            continue
    return list(found.values())


def _is_design(change: Change, path: str) -> bool:
    """Return whether a change may be one of designs.

    A new folder is: what was copied into it before the system began to report on it is not
    reported. A changed one is not, since every sidecar that is written changes its folder.
    """
    name = Path(path)
    if name.name.startswith("."):
        return False
    return name.suffix.lower() in IMAGE_SUFFIXES or (change is Change.added and name.is_dir())
