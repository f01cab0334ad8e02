"""XMP sidecars: machine tags written into them, and taken back."""

from collections.abc import Sequence
from pathlib import Path

from hangtag.errors import CatalogError
from hangtag.library.keywords.machine_tags import MachineTag, Which, merged
from hangtag.library.keywords.sidecars import (
    own_sidecars,
    remember,
    siblings,
    sidecars,
    stem_sidecars,
)
from hangtag.library.keywords.xmp import SUFFIX, packet_of_file, read_keywords, reason_of
from hangtag.library.keywords.xmp_packet import BLANK, tagged
from hangtag.library.keywords.xmp_reader import XML_ERRORS
from hangtag.library.keywords.xmp_undo import TakenBack, without_machine_tags
from hangtag.storage.rewriting import remove, rewrite


def write_sidecar(image: Path, tags: Sequence[MachineTag]) -> Path:
    """Add machine tags to the XMP sidecar of `image` and return the sidecar's path.

    An existing NAME.EXT.xmp, else an existing NAME.xmp, gets the tags that it lacks; what people
    wrote stays byte for byte, and so do its encoding and the case of its name. A machine tag that
    is there already gets the new score and model. Where neither exists, or NAME.xmp could belong to
    another file as well (`a.png` beside `a.svg`), NAME.EXT.xmp is written: darktable, digiKam and
    Immich read that name, it keeps the two apart, and Adobe's programs, which use NAME.xmp, read
    sidecars of raw photos only. It begins with the keywords inside the image and in NAME.xmp,
    because for many programs a sidecar replaces them; so does an empty sidecar, which is filled. A
    NAME.xmp that can be read but not extended stays as it is, and NAME.EXT.xmp is written. Without
    new tags, nothing is written. Raises CatalogError when the existing sidecar cannot be read, or a
    NAME.EXT.xmp cannot be extended; it is left as it is.

    Source: XMP specification part 1 (ISO 16684-1), section 7, and part 3, "External storage".
    """
    existing = own_sidecars(image, SUFFIX)
    if existing:
        return _extend(existing[0], image, tags)
    shared = [] if siblings(image) else stem_sidecars(image, SUFFIX)
    if shared:
        try:
            return _extend(shared[0], image, tags)
        except CatalogError:
            if not _is_readable(shared[0]):
                raise
    return _extend(image.with_name(image.name + SUFFIX), image, tags)


def untag_sidecars(image: Path, which: Which) -> list[TakenBack]:
    """Take machine tags back out of the sidecars of `image`; return what was, for each changed one.

    One that hangtag made is removed with its last tag. A `TakenBack` holds the tags that were taken
    back. Raises CatalogError for a sidecar that cannot be read, before any is changed.
    """
    found = [(path, _taken_back(path)) for path in sidecars(image, SUFFIX)]
    changed = []
    for path, was in found:
        gone = tuple(mark for mark in was.tags if mark in which)
        if gone:
            left = [mark for mark in was.tags if mark not in which]
            new = _with_tags(path, image, was.packet, left)
            _write(path, None if was.packet is None and not left else new)
            changed.append(TakenBack(was.packet, gone, was.exact))
    return changed


def _extend(target: Path, image: Path, tags: Sequence[MachineTag]) -> Path:
    old = target.read_bytes() if target.exists() else None
    try:
        if old is None or not old.strip(BLANK):
            base, marks = old, merged((), tags)
        else:
            was = _taken_back(target)
            base, marks = was.packet, merged(was.tags, tags)
        new = _with_tags(target, image, base, marks)
    except XML_ERRORS as cause:
        raise _unchanged(target, cause) from cause
    if new != (old or b""):
        _write(target, new)
    return target


def _with_tags(target: Path, image: Path, base: bytes | None, marks: Sequence[MachineTag]) -> bytes:
    # What cannot be read, no program can read, so the sidecar does not hide it.
    people = read_keywords(image, leave_out=target).people()
    try:
        return tagged(base, marks, people=people)
    except XML_ERRORS as cause:
        raise _unchanged(target, cause) from cause


def _write(target: Path, new: bytes | None) -> None:
    """Write a sidecar, or remove one that hangtag made."""
    if new is None:
        remove(target)
        return
    rewrite(target, new)
    remember(target)


def _taken_back(sidecar: Path) -> TakenBack:
    try:
        data = sidecar.read_bytes()
        if not data.strip(BLANK):
            return TakenBack(data, (), exact=True)
        return without_machine_tags(data)
    except XML_ERRORS as cause:
        raise _unchanged(sidecar, cause) from cause


def _unchanged(sidecar: Path, cause: Exception) -> CatalogError:
    return CatalogError(
        f"{sidecar}: cannot take tags and is left as it is ({reason_of(cause)}); fix or remove it"
    )


def _is_readable(sidecar: Path) -> bool:
    try:
        packet_of_file(sidecar)
    except XML_ERRORS:
        return False
    return True
