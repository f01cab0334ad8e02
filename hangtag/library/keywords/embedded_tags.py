"""Machine tags written into image files on disk, verified before the old file is replaced."""

import io
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from PIL import Image

from hangtag.errors import CatalogError
from hangtag.library.keywords.embedding import FileTakenBack, container_of, embedded, taken_out
from hangtag.library.keywords.image_metadata import read_blocks
from hangtag.library.keywords.machine_tags import HANGTAG, MachineTag, Which, merged
from hangtag.library.keywords.sidecars import sidecars
from hangtag.library.keywords.xmp import SUFFIX, people_inside, reason_of
from hangtag.library.keywords.xmp_content import NOBODY
from hangtag.library.keywords.xmp_reader import XML_ERRORS, read
from hangtag.library.keywords.xmp_sidecars import write_sidecar
from hangtag.storage.rewriting import rewrite

_LARGEST: Final = 1 << 30  # bytes


def can_embed(image: Path) -> bool:
    """Return whether a file is of a kind that tags are embedded in, by its first bytes."""
    with image.open("rb") as file:
        return container_of(file.read(16)) is not None


def write_embedded(image: Path, tags: Sequence[MachineTag]) -> bool:
    """Add machine tags to the metadata inside an image file: XMP, and IPTC where it has keywords.

    Pixels and all other metadata stay byte for byte, and so do keywords of people. The new file is
    written beside the old one and replaces it when it was verified: both decode to the same pixels,
    the tags are read back, and taking them back gives the old bytes. Returns whether the file
    changed. Raises CatalogError for a file that cannot be read or be sure of; it is left as it is.
    """
    old, state = _read(image)
    try:
        was = taken_out(old)
        marks = merged(was.tags, tags)
        new = embedded(was.data, marks, people_inside(image, was.data))
        if new != old:
            _verify(was.data, new)
    except (*XML_ERRORS, Image.DecompressionBombError, SyntaxError) as cause:
        raise _unchanged(image, cause) from cause
    if new != old:
        _replace(image, new, state)
    return new != old


def write_tags(image: Path, tags: Sequence[MachineTag], *, embed: bool = False) -> bool:
    """Add machine tags to the sidecar of an image or, with `embed`, to its file.

    A file that cannot hold them (GIF, SVG, BMP, AVIF) gets a sidecar. Where a sidecar is there
    already it gets them too: for many programs it replaces what is inside the image. Returns
    whether the image file changed. Raises CatalogError and OSError for files that cannot be read;
    they are left as they are.
    """
    inside = embed and can_embed(image)
    is_changed = inside and write_embedded(image, tags)
    if not inside or sidecars(image, SUFFIX):
        write_sidecar(image, tags)
    return is_changed


def untag_embedded(image: Path, which: Which) -> list[FileTakenBack]:
    """Take machine tags back out of an image file; return what was, if it changed.

    A `FileTakenBack` holds the tags that were taken back. Raises CatalogError for a file that
    cannot be read; it is left as it is.
    """
    if not can_embed(image):
        return []
    old, state = _read(image)
    try:
        was = taken_out(old)
    except XML_ERRORS as cause:
        if HANGTAG.encode() not in old:
            return []
        raise CatalogError(
            f"{image}: its machine tags cannot be taken back ({reason_of(cause)}); left as it is"
        ) from cause
    gone = tuple(mark for mark in was.tags if mark in which)
    if not gone:
        return []
    left = [mark for mark in was.tags if mark not in which]
    try:
        people = people_inside(image, was.data) if left else NOBODY
        new = embedded(was.data, left, people) if left else was.data
    except XML_ERRORS as cause:
        raise _unchanged(image, cause) from cause
    _replace(image, new, state)
    return [FileTakenBack(was.data, gone, was.exact)]


def _read(image: Path) -> tuple[bytes, os.stat_result]:
    """Return the bytes of a file, and its state before they were read."""
    state = image.stat()
    if state.st_size > _LARGEST:
        raise CatalogError(
            f"{image}: {state.st_size >> 20} MB are too many to embed tags; left as it is"
        )
    return image.read_bytes(), state


def _replace(image: Path, new: bytes, state: os.stat_result) -> None:
    """Write a file anew, unless somebody has changed it since it was in `state`."""
    now = image.stat()
    if (now.st_size, now.st_mtime_ns, now.st_ino) != (
        state.st_size, state.st_mtime_ns, state.st_ino
    ):  # fmt: skip
        raise CatalogError(f"{image}: another program is changing it; left as it is")
    rewrite(image, new)


def _verify(old: bytes, new: bytes) -> None:
    """Raise ValueError, or what Pillow raises, unless a new file is the old one with tags."""
    if taken_out(new).data != old:
        raise ValueError("its tags could not be taken back")
    blocks = read_blocks(io.BytesIO(new))
    if not any(read(packet).machine for packet in blocks.xmp):
        raise ValueError("its tags could not be read back")
    if _pixels(new) != _pixels(old):
        raise ValueError("its pixels would change")


def _pixels(data: bytes) -> tuple[str, tuple[int, int], bytes]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about odd metadata, which stays
        with Image.open(io.BytesIO(data)) as image:
            return image.mode, image.size, image.tobytes()


def _unchanged(image: Path, cause: Exception) -> CatalogError:
    return CatalogError(f"{image}: cannot take tags and is left as it is ({reason_of(cause)})")
