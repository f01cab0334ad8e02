"""SVG bytes -> RGBA image, as browsers draw it: prepared here, rendered by resvg.

resvg runs no scripts and opens no network connection, but it reads local files that an `href`
names, and supports less of CSS and of embedded images than a browser does. So the document is
decoded and parsed (`encoding`, `tree`), references that leave it are removed, embedded images are
converted to a format that resvg draws (`images`), style sheets become attributes (`style`), and the
result is rendered.
"""

import functools
import io
from typing import Final
from xml.etree import ElementTree

import resvg
import resvg_py
from PIL import Image
from resvg import usvg

from hangtag.dataset.svg import geometry, images, names, strokes, style, tree
from hangtag.dataset.svg.encoding import gunzip, is_svg, text_of
from hangtag.errors import ImageError

__all__ = ["is_svg", "render"]

MAX_OCTAVES: Final = 16  # of noise: later ones add less than one level of 8 bits


def render(
    data: bytes, size: int, max_pixels: int, decode: images.RasterDecoder | None = None
) -> Image.Image:
    """Render an SVG so that its longest side is `size` pixels; return it in mode RGBA.

    `max_pixels` limits the embedded raster images, all of them together. `decode` decodes those
    that the renderer cannot; without it they are left out. Raises ImageError.
    """
    budget = images.Budget(max_pixels, tree.MAX_ELEMENTS)
    root = _prepared(data, images.Embedder(_prepared, _drawn, decode, budget, size), 0)
    with Image.open(io.BytesIO(_drawn(root, size)), formats=("PNG",)) as image:
        return image.convert("RGBA")


def _prepared(data: bytes, embedder: images.Embedder, nesting: int) -> tree.Element:
    """Return a document as a tree that the renderer draws as a browser would."""
    root = tree.parse(text_of(gunzip(data)))
    names.decode_hrefs(root)
    if tree.depth(root) > tree.MAX_DEPTH:
        raise ImageError("too-complex", f"SVG nested over {tree.MAX_DEPTH} deep")
    embedder.budget.spend_elements(tree.expanded_elements(root))
    images.embed(root, embedder, nesting)
    sides = geometry.sides(root)
    try:
        style.apply(root)
    except RecursionError as cause:
        raise ImageError("too-complex", "SVG with style sheets nested too deep") from cause
    geometry.fix_root(root, sides)
    strokes.apply(root)
    _limit_noise(root)
    return root


def _drawn(root: tree.Element, size: int) -> bytes:
    """Draw a prepared document; return a PNG whose longest side is `size`."""
    is_fitted = geometry.fit(root, size)
    text = ElementTree.tostring(root, encoding="unicode")
    if is_fitted and not _has_text(root):
        return drawn_without_text(text)
    try:
        # The default dpi of 0 turns sizes in mm or pt into "invalid size".
        return resvg_py.svg_to_bytes(
            svg_string=text,
            width=size,
            height=size,
            dpi=96,
            languages=["en"],
            # Otherwise all fonts of a desktop are read for every drawing.
            skip_system_fonts=not _has_text(root),
        )
    except ValueError as cause:
        raise ImageError("unreadable", f"SVG cannot be drawn: {cause}") from cause


def drawn_without_text(text: str) -> bytes:
    """Draw a document at its own size by the quicker build of the renderer.

    It takes a third of the other's time, but finds no font for `sans-serif` and the like.
    """
    drawn: bytes = resvg.render(usvg.Tree.from_str(text, _options()), (1, 0, 0, 0, 1, 0))
    return drawn


@functools.cache
def _options() -> usvg.Options:
    options = usvg.Options.default()
    options.dpi = 96
    return options


def _has_text(root: tree.Element) -> bool:
    return any(True for _ in root.iter(tree.SVG + "text"))


def _limit_noise(root: tree.Element) -> None:
    """Limit the octaves of every turbulence: each is computed for every pixel."""
    for element in root.iter():
        try:
            octaves = float(element.get("numOctaves", "1"))
        except ValueError:  # the renderer uses its default
            continue
        if not octaves <= MAX_OCTAVES:
            element.set("numOctaves", str(MAX_OCTAVES))
