"""Keywords that other programs keep with an image: XMP and IPTC inside the file, XMP beside it."""

import gzip
import warnings
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO
from xml.etree.ElementTree import ParseError

from PIL import Image, ImageFile
from PIL.IptcImagePlugin import getiptcinfo
from PIL.PngImagePlugin import PngStream

from hangtag.errors import CatalogError
from hangtag.files import atomic_path
from hangtag.library.xmp_packet import (
    MAX_XML,
    NEW_SIDECAR,
    XML_ERRORS,
    distinct_keywords,
    extended,
    subjects,
)

_PNG = b"\x89PNG\r\n\x1a\n"
_IPTC_KEYWORD = (2, 25)


def keywords(image: Path) -> list[str]:
    """Return the keywords inside an image, then those in NAME.EXT.xmp, then those in NAME.xmp.

    Stripped, each once. Raises CatalogError, naming the file, when one cannot be read.
    """
    found = embedded_keywords(image)
    for sidecar in _sidecars(image):
        if sidecar.exists():
            found += _subjects_of_file(sidecar)
    return distinct_keywords(found)


def embedded_keywords(image: Path) -> list[str]:
    """Return the keywords inside an image file, stripped, each once; pixels are not decoded.

    XMP `dc:subject` (PNG, JPEG, WebP, TIFF, AVIF), IPTC-IIM 2:25 (JPEG, TIFF, and the raw profiles
    that ImageMagick and ExifTool write into PNG), RDF or plain `dc:subject` in SVG and SVGZ.
    Raises CatalogError, naming the file, when it cannot be read.
    """
    if image.suffix.lower() in (".svg", ".svgz"):
        return distinct_keywords(_subjects_of_file(image))
    try:
        with image.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sizes and odd metadata: no matter here
            is_png = file.read(len(_PNG)) == _PNG
            return distinct_keywords(_png_keywords(file) if is_png else _raster_keywords(file))
    except Exception as cause:  # Pillow lets through whatever its parsers raise
        raise _unreadable(image, cause) from cause


def write_sidecar(image: Path, tags: Sequence[str]) -> Path:
    """Add `tags` to the XMP sidecar of `image` and return the sidecar's path.

    An existing NAME.EXT.xmp, else an existing NAME.xmp, gets the tags that it lacks at the end of
    its `dc:subject`; every other byte of it stays. Tags that `normalise_tag` makes equal are one.
    Where neither file exists, NAME.EXT.xmp is written: darktable, digiKam and Immich read that
    name, it keeps `a.png` and `a.svg` apart, and Adobe's programs, which say NAME.xmp, read
    sidecars of raw photos only. It begins with the keywords inside the image, because programs let
    a sidecar replace them. When nothing is new, nothing is written.
    Raises CatalogError when the existing sidecar cannot be read or extended; it is left as it is.

    Source: XMP specification part 1 (ISO 16684-1), section 7, and part 3, "External storage".
    """
    existing = [path for path in _sidecars(image) if path.exists()]
    target = (existing or _sidecars(image))[0]
    wanted = list(tags)
    if not existing:
        with suppress(CatalogError):  # what no program can read, a sidecar cannot hide
            wanted = embedded_keywords(image) + wanted
    try:
        old = target.read_bytes() if existing else NEW_SIDECAR
        new = extended(old, [tag for text in wanted if (tag := text.strip())])
    except XML_ERRORS as cause:
        raise CatalogError(
            f"{target}: cannot take tags and is left as it is ({_reason(cause)}); mend or remove it"
        ) from cause
    if new != old:
        with atomic_path(target) as temporary:
            temporary.write_bytes(new)
    return target


def _sidecars(image: Path) -> tuple[Path, Path]:
    return image.with_name(f"{image.name}.xmp"), image.with_suffix(".xmp")


# Inside PNG, JPEG, WebP, TIFF, AVIF


def _png_keywords(file: BinaryIO) -> list[str]:
    """Return the keywords of a PNG, `file` standing after its signature."""
    # Image.open stops at the pixels, but some programs write their texts after them.
    png = PngStream(file)
    kind = b""
    while kind != b"IEND":
        kind, position, length = png.read()
        if kind in (b"iTXt", b"tEXt", b"zTXt"):
            png.call(kind, position, length)
        file.seek(position + length + 4)  # over the checksum
    found = subjects(png.im_info["xmp"]) if "xmp" in png.im_info else []
    for key, text in png.im_text.items():
        if key.startswith("Raw profile type "):
            # Lines: the profile's name, its length, hex digits.
            profile = bytes.fromhex("".join(text.strip().split("\n")[2:]))
            is_xmp = profile.startswith(b"<")
            found += subjects(profile) if is_xmp else _iptc_texts(_iptc_keywords(profile))
    return found


def _raster_keywords(file: BinaryIO) -> list[str]:
    file.seek(0)
    with Image.open(file) as image:
        found = subjects(bytes(image.info["xmp"])) if "xmp" in image.info else []
        iptc = getiptcinfo(image) if isinstance(image, ImageFile.ImageFile) else None
    values = (iptc or {}).get(_IPTC_KEYWORD, [])
    return found + _iptc_texts(values if isinstance(values, list) else [values])


def _iptc_texts(values: Iterable[bytes]) -> list[str]:
    """Decode IPTC text: UTF-8 or, from old programs, Windows Latin; few say which."""
    found = []
    for value in values:
        try:
            found.append(value.decode("utf-8"))
        except UnicodeDecodeError:
            found.append(value.decode("cp1252", "replace"))
    return found


def _iptc_keywords(profile: bytes) -> list[bytes]:
    """Return the keywords in IPTC data, bare or within a Photoshop resource; Pillow has no PNG's.

    A record: 0x1c, record, dataset, uint16 size, big-endian (IPTC-IIM 4.2, section 1.5). A
    resource: "8BIM", uint16 id, length-prefixed name of even length, uint32 size, data.
    """
    at = 0
    resource = profile.find(b"8BIM\x04\x04")
    if resource >= 0:
        name = resource + 6
        at = name + (profile[name] + 2) // 2 * 2 + 4
    found = []
    while profile[at : at + 1] == b"\x1c":
        size = int.from_bytes(profile[at + 3 : at + 5], "big")
        if tuple(profile[at + 1 : at + 3]) == _IPTC_KEYWORD:
            found.append(profile[at + 5 : at + 5 + size])
        at += 5 + size
    return found


def _subjects_of_file(path: Path) -> list[str]:
    try:
        with gzip.open(path) if path.suffix.lower() == ".svgz" else path.open("rb") as file:
            return subjects(file.read(MAX_XML + 1))
    except XML_ERRORS as cause:
        raise _unreadable(path, cause) from cause


def _unreadable(path: Path, cause: Exception) -> CatalogError:
    return CatalogError(f"{path}: its keywords cannot be read ({_reason(cause)})")


def _reason(cause: Exception) -> str:
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    if isinstance(cause, (ParseError, ValueError)):
        return " ".join(str(cause).split())
    return "damaged or of an unknown format"
