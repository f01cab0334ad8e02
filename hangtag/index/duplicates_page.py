"""Groups of duplicates as one HTML file: pictures, which to keep, and a list to take away."""

import base64
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from hangtag import __version__
from hangtag.console import note
from hangtag.dataset.images import decode, encode_png
from hangtag.errors import ImageError
from hangtag.index.duplicates import Duplicate
from hangtag.quality.pages import render
from hangtag.storage.files import write_text
from hangtag.storage.reading import read_bytes

THUMBNAIL: Final = 160  # pixels
GROUPS: Final = 500  # on one page


def write_page(found: Sequence[Duplicate], path: Path) -> Path:
    """Write the page and return its path; a message says how many groups it leaves out."""
    groups = [list(some) for _, some in itertools.groupby(found, key=lambda one: one.group)]
    if len(groups) > GROUPS:
        note(f"{path} shows the first {GROUPS:,} of {len(groups):,} groups; the .csv has all")
    shown = [[(one, _picture(one)) for one in some] for some in groups[:GROUPS]]
    designs = sum(map(len, groups))
    page = render(
        "duplicates.html.j2", groups=shown, total=len(groups), designs=designs, version=__version__
    )
    write_text(path, page)
    return path


def _picture(design: Duplicate) -> str:
    """Return a design as a data: address; empty where it cannot be read any more."""
    try:
        data = encode_png(decode(read_bytes(design.location), THUMBNAIL))
    except (ImageError, OSError):
        return ""
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"
