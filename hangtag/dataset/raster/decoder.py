"""Raster files -> RGBA pixels of a given size: PNG, JPEG, WebP, GIF, TIFF, BMP, AVIF.

Pillow decodes. This package adds: the choice of a frame that shows something, files that are
damaged outside of their pixels, layouts that Pillow lacks, and a pixel limit of hangtag's own.
"""

import contextlib
import io
import itertools
from collections.abc import Iterator
from typing import Final

from PIL import Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from hangtag.dataset.raster import animation, libtiff, metadata, png, signatures, tiff
from hangtag.dataset.raster.pixel_limit import check_size, max_pixels
from hangtag.dataset.raster.resize import shrunk
from hangtag.dataset.raster.tiff_samples import Samples
from hangtag.errors import ImageError

FORMATS: Final = ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "AVIF")
_TIFF_SIGNATURES: Final = (b"II*", b"II+", b"MM\0")
_WEBP_SIGNATURE: Final = b"RIFF"
_SIGNATURES: Final = (
    png.SIGNATURE, b"\xff\xd8", b"GIF8", _WEBP_SIGNATURE, b"BM", *_TIFF_SIGNATURES,
)  # fmt: skip
_AVIF_SIGNATURE: Final = b"ftyp"  # from the fifth byte on
_EXIF_PREFIX: Final = b"Exif\0\0"
# What undoes each orientation: https://www.cipa.jp/std/documents/e/DC-008-2012_E.pdf, 4.6.4.A
_UPRIGHT: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def is_raster(data: bytes) -> bool:
    """Return whether a file begins like one of the raster formats."""
    return data.startswith(_SIGNATURES) or data.startswith(_AVIF_SIGNATURE, 4)


def decode_raster(data: bytes, size: int, limit: int) -> Image.Image:
    """Decode a raster file to RGBA with straight alpha, its longest side at most `size`, upright.

    Of an animation, decode the first frame that shows something, composed as in browsers. `limit`
    is the largest number of pixels. Raises ImageError.
    """
    warnings: list[str] = []
    try:
        with max_pixels(limit), libtiff.messages(warnings):
            return _decode(data, size, limit)
    except ImageError:
        raise
    except MemoryError as cause:
        raise ImageError("too-large", "the decoder ran out of memory") from cause
    except UnidentifiedImageError as cause:
        known = signatures.described(data)
        message = "not an image in a known format" + (f" but {known}" if known else "")
        raise ImageError("unreadable", message) from cause
    except Exception as cause:  # decoders raise anything, from struct.error to IndexError
        reason = "truncated" if "truncated" in str(cause).lower() else "unreadable"
        details = "; ".join(dict.fromkeys([str(cause), *warnings]))
        raise ImageError(reason, f"cannot be decoded: {details}") from cause


def _decode(data: bytes, size: int, limit: int) -> Image.Image:
    if data.startswith(png.SIGNATURE):
        return _decode_png(png.checked(data), size)
    if data.startswith(_TIFF_SIGNATURES):
        return _decode_tiff(data, size, limit)
    try:
        return _decode_other(data, size, limit)
    except ImageError:
        raise
    except Exception:
        undamaged = _without_metadata(data)
        if undamaged is None or undamaged == data:
            raise
        return _decode_other(undamaged, size, limit)


def _without_metadata(data: bytes) -> bytes | None:
    """Return a file without metadata that a decoder may refuse it for; None in other formats."""
    if data.startswith(_WEBP_SIGNATURE):
        return metadata.without_damage(data)
    if data.startswith(_AVIF_SIGNATURE, 4):
        return metadata.without_exif(data)
    return None


def _decode_other(data: bytes, size: int, limit: int) -> Image.Image:
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        check_size(image.size, limit)
        if image.format == "GIF":
            return _decode_gif(image, data, size)
        # JPEG decodes directly to 1/2, 1/4 or 1/8; twice the target size loses nothing.
        image.draft(None, (2 * size, 2 * size))
        orientation = _orientation(image)
        if image.format in ("WEBP", "AVIF") and getattr(image, "is_animated", False):
            return _upright(_first_shown(_seek_frames(image, size)), orientation)
        if image.format == "BMP":
            return shrunk(_opaque_unless_used(image), size)
        return _upright(shrunk(image, size), orientation)


def _opaque_unless_used(image: Image.Image) -> Image.Image:
    """Return a BMP without its alpha if that is 0 everywhere: many programs leave it unset."""
    if image.mode == "RGBA" and image.getchannel("A").getextrema() == (0, 0):
        return image.convert("RGB")
    return image


def _first_shown(frames: Iterator[Image.Image]) -> Image.Image:
    """Return the first frame that shows enough, else the one that shows the most.

    Damage after a frame that shows something ends the search.
    """
    best, most = None, 0.0
    try:
        for frame in frames:
            shown, is_enough = animation.visibility(frame)
            # Twice as much: of similar frames, the first one is taken.
            if best is None or shown > 2 * most:
                best, most = frame, shown
                if is_enough:
                    break
    except Exception:
        if not most:
            raise
    if best is None:
        raise ImageError("unreadable", "animation without frames")
    return best


def _seek_frames(image: ImageFile, size: int) -> Iterator[Image.Image]:
    """Yield frames as Pillow composes them."""
    for frame in range(min(image.n_frames, animation.frame_budget(image.size))):  # type: ignore[attr-defined]
        image.seek(frame)
        yield shrunk(image, size)


def _decode_gif(image: ImageFile, data: bytes, size: int) -> Image.Image:
    canvas, budget = image.size, animation.frame_budget(image.size)
    # If the first frame does not fill the canvas, Pillow fills the rest with a colour, but browsers
    # leave it transparent.
    is_whole = bool(image.tile) and image.tile[0].extents == (0, 0, *canvas)
    if is_whole:
        first = shrunk(image, size)
        if next(itertools.islice(animation.gif_frames(data), 1, 2), None) is None:
            return first
    frames = animation.composed(canvas, animation.gif_frames(data))
    rest = (shrunk(frame, size) for frame in itertools.islice(frames, is_whole, budget))
    return _first_shown(itertools.chain([first], rest) if is_whole else rest)


def _decode_png(file: png.Png, size: int) -> Image.Image:
    with Image.open(io.BytesIO(file.still()), formats=["PNG"]) as image:
        orientation = _orientation(image)
        if not file.is_animated:
            return _upright(_png_image(image, file, size), orientation)
        return _upright(_first_shown(_png_frames(image, file, size)), orientation)


def _png_frames(image: ImageFile, file: png.Png, size: int) -> Iterator[Image.Image]:
    """Yield the frames of an APNG, preceded by the default image if no frame can be read."""
    hidden, budget = file.hides_default_image, animation.frame_budget(image.size)
    composed = animation.composed(image.size, file.frames())
    frames = (shrunk(frame, size) for frame in itertools.islice(composed, not hidden, budget))
    first = None
    if hidden:
        with contextlib.suppress(Exception):  # decoders raise anything
            first = next(frames, None)
    yield _png_image(image, file, size) if first is None else first
    yield from frames


def _png_image(image: ImageFile, file: png.Png, size: int) -> Image.Image:
    png.scale_transparent_colour(image, depth=file.depth)
    if not file.is_apple:
        return shrunk(image, size)
    return shrunk(png.in_usual_order(image), size)


def _decode_tiff(data: bytes, size: int, limit: int) -> Image.Image:
    pages = tiff.pages(data)
    if not pages:
        raise ImageError(
            "truncated", f"TIFF is cut or damaged: no directory within its {len(data):,} bytes"
        )
    decoded = (_tiff_page(data, page, size, limit) for page in pages)
    if len(pages) == 1 or pages[1].is_part:
        return next(decoded)
    return _first_shown(itertools.islice(decoded, animation.frame_budget(pages[0].size)))


def _tiff_page(data: bytes, page: tiff.Page, size: int, limit: int) -> Image.Image:
    if not page.is_beyond_pillow:
        try:
            with Image.open(io.BytesIO(page.alone(data)), formats=["TIFF"]) as image:
                check_size(image.size, limit)
                return shrunk(image, size)  # Pillow turns it upright while loading
        except UnidentifiedImageError:  # a layout that Pillow does not support
            pass
    samples = Samples(data, page, limit)
    return _upright(samples.shrunk(size), page.first(tiff.Tag.ORIENTATION, 1))


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation; 1, upright, if the EXIF data is damaged.

    Pillow's own EXIF reader also prints warnings about unrelated damage.
    """
    exif = image.info.get("exif", b"")
    pages = tiff.pages(exif.removeprefix(_EXIF_PREFIX)) if isinstance(exif, bytes) else []
    return pages[0].first(tiff.Tag.ORIENTATION, 1) if pages else 1


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    return image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image
