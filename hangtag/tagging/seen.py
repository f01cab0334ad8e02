"""The designs that an output of `hangtag tag` covers, as they were when they were tagged.

`.tags.jsonl.seen` beside it has a line for the run (model, thresholds, options), then one for each
design.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from hangtag.errors import ConfigError
from hangtag.storage.files import atomic_path, read_text
from hangtag.tagging.metadata import stamp_of
from hangtag.tagging.output import Stamp

Names = tuple[str, str]
"""Name and location of a design."""
AGAIN: Final = "again"  # in place of a key


@dataclass
class Seen:
    """The designs that an output covers, as they were when they were tagged."""

    key: str = ""
    out: Stamp | None = None
    """The output itself: another one was not written by the run that is remembered."""
    designs: dict[Names, Stamp] = field(default_factory=dict)
    unwritten: set[Names] = field(default_factory=set)
    """Those whose metadata could not be written."""

    @classmethod
    def read(cls, path: Path) -> "Seen":
        """Return what is remembered; nothing where the file is missing or damaged."""
        try:
            head, *lines = map(json.loads, read_text(path, ConfigError).splitlines())
            designs = {(name, at): (size, time) for name, at, size, time, *_ in lines}
            unwritten = {(line[0], line[1]) for line in lines if len(line) > 4}
            return cls(head["key"], tuple(head["out"]), designs, unwritten)
        except (ConfigError, ValueError, KeyError, TypeError):
            return cls()

    def remember(self, out: Path) -> None:
        """Write, whole, what is remembered of `out` as it is now."""
        self.out = stamp_of(str(out)) or (0, 0)
        with atomic_path(state_of(out)) as temporary, temporary.open("w", encoding="utf-8") as file:
            file.write(json.dumps({"key": self.key, "out": self.out}) + "\n")
            file.writelines(
                json.dumps([*names, *stamp, *["unwritten"] * (names in self.unwritten)],
                           ensure_ascii=False) + "\n"
                for names, stamp in self.designs.items()
            )  # fmt: skip


def join_seen(outs: Sequence[Path]) -> Seen | None:
    """Return what several outputs of one run cover together; None where one does not say.

    Raises ConfigError for outputs of different models or options.
    """
    found = [Seen.read(state_of(out)) for out in outs]
    known = [(one.key, out) for one, out in zip(found, outs, strict=True) if one.key]
    for key, out in known:
        if key != known[0][0]:
            raise ConfigError(
                f"{out} was tagged by another model, in another precision or with other options "
                f"than {known[0][1].name}; tag it again, on different machines with --precision"
            )
    if len(known) < len(outs):
        return None
    return Seen(known[0][0], None, {name: at for one in found for name, at in one.designs.items()})


def forget(out: Path) -> None:
    """Let the next run into `out` tag all designs, but resume a killed one of the same designs."""
    Seen(AGAIN).remember(out)


def state_of(out: Path) -> Path:
    """Return the path of what is remembered of an output."""
    return out.with_name(f".{out.name}.seen")
