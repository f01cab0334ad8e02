"""Images embedded in an SVG: every `data:` address -> one that the renderer draws.

The content decides the format, whatever the address declares. PNG, JPEG, GIF and WebP that the
renderer reads stay as they are; other images are decoded and embedded as PNG; drawings are prepared
as the document itself is. References that leave the document are removed.
"""

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hangtag.dataset.svg import geometry
from hangtag.dataset.svg.addresses import content_of
from hangtag.dataset.svg.encoding import is_svg
from hangtag.dataset.svg.tree import HREFS, MAX_ELEMENTS, SVG, Element, depth
from hangtag.errors import ImageError

MAX_NESTING: Final = 5  # of drawings in drawings
_SHALLOW: Final = 50  # deepest tree that the renderer draws inside of another drawing
_FINE: Final = 2  # resolution of a rasterised embedded drawing, relative to the whole
_DRAWN: Final = (SVG + "image", SVG + "feImage")
_FLAT: Final = (*_DRAWN, SVG + "text", SVG + "foreignObject")
_FORMATS: Final = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "AVIF")  # what browsers show
_PASSED: Final = {"PNG": "png", "JPEG": "jpeg", "GIF": "gif", "WEBP": "webp"}
_ORIENTATION: Final = 0x0112

RasterDecoder = Callable[[bytes, int], NDArray[np.uint8]]  # data, longest side -> (h, w, 4) RGBA

Sides = tuple[float | None, float | None]  # of an <image>, in user units; None: not given


@dataclass
class Budget:
    """Limits for a document and all drawings in it together."""

    pixels: int
    elements: int
    seen: dict[tuple[str, Sides], str | None] = field(default_factory=dict)

    def spend_pixels(self, count: int) -> None:
        """Count the pixels of one embedded image. Raises ImageError over the limit."""
        self.pixels -= count
        if self.pixels < 0:
            raise ImageError(
                "too-large",
                f"SVG embeds too many pixels, {count / 1e6:.0f} megapixels in one image",
            )

    def spend_elements(self, count: int) -> None:
        """Count the elements of one drawing. Raises ImageError over the limit."""
        self.elements -= count
        if self.elements < 0:
            raise ImageError("too-complex", f"SVG with over {MAX_ELEMENTS:,} elements")


@dataclass(frozen=True)
class Embedder:
    """How to draw what is embedded: functions of modules that import this one."""

    prepare: Callable[[bytes, "Embedder", int], Element]  # document, this, how deep it is embedded
    draw: Callable[[Element, int], bytes]  # prepared document, longest side -> PNG
    decode: RasterDecoder | None
    budget: Budget
    size: int  # of the whole drawing's longest side, in pixels


def embed(root: Element, embedder: Embedder, nesting: int) -> None:
    """Leave only references to `#id` and to images that the renderer draws."""
    for element in root.iter():
        for name in HREFS:
            reference = element.get(name, "").strip()
            if not reference or reference.startswith("#"):
                continue
            address = None
            if element.tag in _DRAWN:
                sides = _sides(element)
                address = _embedded(reference, sides, embedder, nesting)
            if address is None:
                del element.attrib[name]
            else:
                element.set(name, address)


def _sides(element: Element) -> Sides:
    if element.get("preserveAspectRatio", "").strip().startswith("none"):
        return None, None  # stretched, whatever its own ratio
    width, height = (geometry.pixels(element.get(side, "")) for side in ("width", "height"))
    return width, height


def _embedded(reference: str, sides: Sides, embedder: Embedder, nesting: int) -> str | None:
    """Return the address to draw instead of `reference`, None if nothing can be drawn."""
    seen = embedder.budget.seen
    key = reference, sides
    if key not in seen:
        data = content_of(reference)
        seen[key] = _address(data, sides, embedder, nesting) if data else None
    return seen[key]


def _address(data: bytes, sides: Sides, embedder: Embedder, nesting: int) -> str | None:
    if is_svg(data) and not data.startswith(b"\x89PNG"):
        return _drawing(data, sides, embedder, nesting)
    return _raster(data, embedder)


def _drawing(data: bytes, sides: Sides, embedder: Embedder, nesting: int) -> str | None:
    if nesting >= MAX_NESTING:
        return None
    try:
        root = embedder.prepare(data, embedder, nesting + 1)
        _set_size(root, sides)
        # The renderer draws neither text nor images of an embedded drawing.
        if any(element.tag in _FLAT for element in root.iter()) or depth(root) > _SHALLOW:
            embedder.budget.spend_pixels((_FINE * embedder.size) ** 2)
            return _written(embedder.draw(root, _FINE * embedder.size), "png")
    except ImageError as error:
        if error.reason in ("too-large", "too-complex", "hostile"):
            raise
        return None  # browsers leave a broken image out as well
    return _written(ElementTree.tostring(root, encoding="utf-8"), "svg+xml")


def _set_size(root: Element, sides: Sides) -> None:
    """Give a drawing without a size that of the image, so that its preserveAspectRatio applies."""
    if all(root.get(name, "100%").strip() in ("100%", "auto") for name in ("width", "height")):
        for name, side in zip(("width", "height"), sides, strict=True):
            if side and None not in sides:
                root.set(name, repr(side))


def _raster(data: bytes, embedder: Embedder) -> str | None:
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            embedder.budget.spend_pixels(image.width * image.height)
            kind = _PASSED.get(image.format or "")
            if kind and _is_passed(image):
                return _written(data, kind)
            longest = max(image.size)
        if embedder.decode is None:
            return None
        shown = Image.fromarray(embedder.decode(data, longest))
    except ImageError as error:
        if error.reason == "too-large":
            raise
        return None
    except Exception:  # decoders raise anything; browsers leave a broken image out
        return None
    file = io.BytesIO()
    shown.save(file, "PNG", compress_level=1)
    return _written(file.getvalue(), "png")


def _is_passed(image: Image.Image) -> bool:
    """Return whether the renderer reads an image as a browser does."""
    if image.format == "JPEG":
        return image.mode in ("L", "RGB") and image.getexif().get(_ORIENTATION, 1) == 1
    if image.format == "PNG":
        return not getattr(image, "is_animated", False) and "exif" not in image.info
    return image.format == "GIF" or not getattr(image, "is_animated", False)


def _written(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
