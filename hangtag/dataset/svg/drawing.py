"""SVG bytes -> RGBA image, as browsers draw it: prepared here, rendered by resvg.

resvg runs no scripts and opens no network connection, but it reads local files that an `href`
names, and of CSS and of embedded images it knows less than a browser does. So the document is
decoded and parsed (`svg_encoding`, `svg_tree`), every reference that leaves it is cut and every
embedded image brought to a format that resvg draws (`svg_images`), its style sheets become
attributes (`svg_style`), and what is left is rendered.
"""

import io
from typing import Final
from xml.etree import ElementTree

import resvg_py
from PIL import Image

from hangtag.dataset.svg import images as svg_images
from hangtag.dataset.svg import size as svg_size
from hangtag.dataset.svg import style as svg_style
from hangtag.dataset.svg import tree as svg_tree
from hangtag.dataset.svg.encoding import gunzip, is_svg, text_of
from hangtag.errors import ImageError

__all__ = ["is_svg", "render"]

MAX_OCTAVES: Final = 16  # of noise: what comes after is below one level of 8 bits


def render(
    data: bytes, size: int, max_pixels: int, decode: svg_images.RasterDecoder | None = None
) -> Image.Image:
    """Render an SVG so that its longest side is `size` pixels; return it in mode RGBA.

    `max_pixels` bounds the raster images embedded in the document, all of them together; `decode`
    decodes those that the renderer cannot, which are left out without it. Raises ImageError.
    """
    budget = svg_images.Budget(max_pixels, svg_tree.MAX_ELEMENTS)
    root = _prepared(data, svg_images.Embedder(_prepared, _drawn, decode, budget, size), 0)
    svg_size.enlarge_fractions(root)
    with Image.open(io.BytesIO(_drawn(root, size)), formats=("PNG",)) as image:
        return image.convert("RGBA")


def _prepared(data: bytes, embedder: svg_images.Embedder, nesting: int) -> svg_tree.Element:
    """Return a document as a tree that the renderer draws as a browser would."""
    root = svg_tree.parse(text_of(gunzip(data)))
    if svg_tree.depth(root) > svg_tree.MAX_DEPTH:
        raise ImageError("too-complex", f"SVG nested over {svg_tree.MAX_DEPTH} deep")
    embedder.budget.spend_elements(svg_tree.expanded_elements(root))
    svg_images.embed(root, embedder, nesting)
    try:
        svg_style.apply(root)
    except RecursionError as cause:
        raise ImageError("too-complex", "SVG with style sheets nested too deep") from cause
    svg_size.fix_root(root)
    _limit_noise(root)
    return root


def _drawn(root: svg_tree.Element, size: int) -> bytes:
    """Draw a prepared document; return a PNG whose longest side is `size`."""
    text = ElementTree.tostring(root, encoding="unicode")
    try:
        # dpi must be said: its default of 0 turns sizes in mm or pt into "invalid size".
        return resvg_py.svg_to_bytes(
            svg_string=text,
            width=size,
            height=size,
            dpi=96,
            languages=["en"],
            # A desktop with many fonts would read them all for every drawing.
            skip_system_fonts=not _has_text(root),
        )
    except ValueError as cause:
        raise ImageError("unreadable", f"SVG cannot be drawn: {cause}") from cause


def _has_text(root: svg_tree.Element) -> bool:
    return any(True for _ in root.iter(svg_tree.SVG + "text"))


def _limit_noise(root: svg_tree.Element) -> None:
    """Bound the octaves of every turbulence: each is computed for every pixel."""
    for element in root.iter():
        try:
            octaves = float(element.get("numOctaves", "1"))
        except ValueError:  # the renderer takes its default
            continue
        if not octaves <= MAX_OCTAVES:
            element.set("numOctaves", str(MAX_OCTAVES))
