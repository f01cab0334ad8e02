"""SVG bytes -> RGBA image: rendered by resvg, after everything that reaches outside is cut out.

resvg runs no scripts and opens no network connection, but it reads local files that an `href`
names. So the document is parsed first (entities resolved, expansion bounded by expat), every
reference that leaves the document is dropped, and what is left is rendered.
"""

import base64
import gzip
import io
import re
import zlib
from urllib.parse import unquote_to_bytes
from xml.etree import ElementTree

import defusedxml
import resvg_py
from defusedxml.ElementTree import fromstring
from PIL import Image

from hangtag.errors import ImageError

MAX_BYTES = 32 * 2**20
MAX_ELEMENTS = 200_000  # after <use> is expanded; openclipart's largest drawing has 14,000
MAX_DEPTH = 150  # openclipart's deepest has 12; at 400 the renderer runs out of a thread's stack
MAX_OCTAVES = 16  # of noise: what comes after is below one level of 8 bits
_SVG_START = re.compile(rb"<(?:[A-Za-z_][\w.-]*:)?svg[\s>/]")
_FINE = 1024  # pixels, in which a drawing's sides may be rounded
_LENGTH = re.compile(r"\s*([0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)(px|pt|pc|mm|cm|in|)\s*")
_UNITS = {"": 1.0, "px": 1.0, "pt": 4 / 3, "pc": 16.0, "mm": 96 / 25.4, "cm": 96 / 2.54, "in": 96.0}
_HREFS = ("href", "{http://www.w3.org/1999/xlink}href")


def is_svg(data: bytes) -> bool:
    """Tell whether `data` looks like an SVG document, gzipped (`.svgz`) or not, in UTF-8 or 16."""
    if data[:2] == b"\x1f\x8b":
        return True
    return bool(_SVG_START.search(data[:65536].replace(b"\0", b"")))


def render(data: bytes, size: int, max_pixels: int) -> Image.Image:
    """Render an SVG so that its longest side is `size` pixels; return it in mode RGBA.

    `max_pixels` bounds each raster image embedded in the document. Raises ImageError.
    """
    root = _parse(_gunzip(data))
    if _depth(root) > MAX_DEPTH:
        raise ImageError("too-complex", f"SVG nested over {MAX_DEPTH} deep")
    _cut_outside_references(root, max_pixels)
    _limit_noise(root)
    _enlarge_fractions(root)
    if _expanded_elements(root) > MAX_ELEMENTS:
        raise ImageError("too-complex", f"SVG with over {MAX_ELEMENTS:,} elements")
    text = ElementTree.tostring(root, encoding="unicode")
    try:
        # dpi must be said: its default of 0 turns sizes in mm or pt into "invalid size".
        png = resvg_py.svg_to_bytes(svg_string=text, width=size, height=size, dpi=96)
    except ValueError as cause:
        raise ImageError("unreadable", f"SVG cannot be drawn: {cause}") from cause
    with Image.open(io.BytesIO(png), formats=("PNG",)) as image:
        return image.convert("RGBA")


def _gunzip(data: bytes) -> bytes:
    """Return the document of a `.svgz`, never more than MAX_BYTES of it; others as they are."""
    if data[:2] == b"\x1f\x8b":
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
                data = file.read(MAX_BYTES + 1)
        except (OSError, EOFError, zlib.error) as cause:
            raise ImageError("truncated", f"compressed SVG is damaged: {cause}") from cause
    if len(data) > MAX_BYTES:
        raise ImageError("too-large", f"SVG of over {MAX_BYTES // 2**20} MiB")
    return data


def _parse(data: bytes) -> ElementTree.Element:
    try:
        # Illustrator's files declare entities, so they are allowed; external ones are not, and
        # expat itself stops an expansion of over 100 times the input.
        root: ElementTree.Element = fromstring(data, forbid_entities=False, forbid_external=True)
    except ElementTree.ParseError as cause:
        raise ImageError("unreadable", f"SVG is not well-formed: {cause}") from cause
    except defusedxml.DefusedXmlException as cause:
        raise ImageError("hostile", f"SVG refers to an external entity: {cause}") from cause
    except (ValueError, LookupError, RecursionError) as cause:
        raise ImageError("unreadable", f"SVG cannot be read: {cause}") from cause
    if root.tag.rpartition("}")[2] != "svg":
        raise ImageError("unreadable", f"XML document is <{root.tag}>, not <svg>")
    if not root.tag.startswith("{"):
        # Hand-written files forget the namespace; browsers refuse them, a library owner would not.
        for element in root.iter():
            if isinstance(element.tag, str) and not element.tag.startswith("{"):
                element.tag = "{http://www.w3.org/2000/svg}" + element.tag
    return root


def _cut_outside_references(root: ElementTree.Element, max_pixels: int) -> None:
    """Drop every `href` that is neither `#id` nor an embedded raster image of bounded size."""
    for element in root.iter():
        for name in _HREFS:
            reference = element.get(name, "").strip()
            if reference and not reference.startswith("#") and not _embedded(reference, max_pixels):
                del element.attrib[name]


def _embedded(reference: str, max_pixels: int) -> bool:
    """Tell whether a `data:` reference holds a raster image; ImageError if it is too large."""
    head, comma, body = reference.partition(",")
    if not (comma and head.lower().startswith("data:")):
        return False
    try:
        raw = unquote_to_bytes(body)
        data = base64.b64decode(raw) if head.lower().endswith(";base64") else raw
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "GIF", "WEBP")) as image:
            pixels = image.width * image.height
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False
    if pixels > max_pixels:
        raise ImageError("too-large", f"SVG embeds an image of {pixels / 1e6:.0f} megapixels")
    return True


def _depth(root: ElementTree.Element) -> int:
    depth, level = 0, [root]
    while level and depth <= MAX_DEPTH:
        depth, level = depth + 1, [child for element in level for child in element]
    return depth


def _limit_noise(root: ElementTree.Element) -> None:
    """Bound the octaves of every turbulence: each is computed for every pixel."""
    for element in root.iter():
        try:
            octaves = float(element.get("numOctaves", "1"))
        except ValueError:  # the renderer takes its default
            continue
        if not octaves <= MAX_OCTAVES:
            element.set("numOctaves", str(MAX_OCTAVES))


def _enlarge_fractions(root: ElementTree.Element) -> None:
    """Enlarge a drawing whose sides are no whole pixels: the renderer rounds them before it scales.

    An icon of 1.5 x 1 would become 2 x 1, a quarter of it empty. What has no plain lengths stays.
    """
    box = [_number(part) for part in re.split(r"[\s,]+", root.get("viewBox", "").strip())]
    own = box[2:] if len(box) == 4 else [None, None]
    width, height = (
        side if root.get(name, "100%").strip() == "100%" else _pixels(root.get(name, ""))
        for name, side in zip(("width", "height"), own, strict=True)
    )
    if width is None or height is None or not (width > 0 and height > 0):
        return
    if width.is_integer() and height.is_integer():
        return
    if own == [None, None]:
        root.set("viewBox", f"0 0 {width!r} {height!r}")
    scale = _FINE / max(width, height)
    root.set("width", repr(width * scale))
    root.set("height", repr(height * scale))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _pixels(length: str) -> float | None:
    """Return a length in CSS pixels, None for a share of something else (%, em)."""
    found = _LENGTH.fullmatch(length)
    return float(found[1]) * _UNITS[found[2]] if found else None


def _expanded_elements(root: ElementTree.Element) -> int:
    """Count the elements after every `<use>` is replaced by what it names.

    Twenty nested `<use>` pairs make a million elements of a kilobyte ("billion laughs" in SVG).
    Counting stops growing past MAX_ELEMENTS; a cycle counts once, as renderers ignore it.
    """
    by_id = {element.get("id"): element for element in root.iter() if element.get("id")}
    sizes: dict[int, int] = {}
    # Post-order walk with an explicit stack: a drawing may nest deeper than Python recurses.
    stack: list[tuple[ElementTree.Element, bool]] = [(root, False)]
    open_elements: set[int] = set()
    while stack:
        element, leaving = stack.pop()
        key = id(element)
        parts = list(element)
        if str(element.tag).endswith("}use"):
            target = next(
                (by_id.get(element.get(name, "")[1:]) for name in _HREFS if element.get(name)), None
            )
            parts += [target] if target is not None else []
        if leaving:
            open_elements.discard(key)
            sizes[key] = min(MAX_ELEMENTS + 1, 1 + sum(sizes.get(id(part), 0) for part in parts))
        elif key not in sizes and key not in open_elements:
            open_elements.add(key)
            stack.append((element, True))
            stack.extend((part, False) for part in parts)
    return sizes[id(root)]
