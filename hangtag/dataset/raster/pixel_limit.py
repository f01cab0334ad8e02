"""The limit of pixels that hangtag decodes; Pillow's own stays for the rest of the process."""

import contextlib
import functools
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

from PIL import Image

from hangtag.errors import ImageError

_max_pixels: ContextVar[int | None] = ContextVar("max_pixels", default=None)


@contextlib.contextmanager
def max_pixels(limit: int) -> Iterator[None]:
    """Let Pillow decode up to `limit` pixels in this block, whatever its own limit is.

    Pillow's limit, `Image.MAX_IMAGE_PIXELS`, is one value for the whole process: raising it here
    would remove the protection of other threads. Instead, the function by which Pillow checks its
    limit, always before it allocates memory, checks ours while this thread (or asyncio task) is in
    the block. Beyond the limit, ImageError is raised from within Pillow.
    """
    _install()
    token = _max_pixels.set(limit)
    try:
        yield
    finally:
        _max_pixels.reset(token)


def check_size(size: tuple[int, int], limit: int) -> None:
    """Raise ImageError where an image of `size` (width, height) has over `limit` pixels."""
    pixels = size[0] * size[1]
    if pixels > limit:
        raise ImageError(
            "too-large",
            f"{pixels / 1e6:.1f} megapixels, over the limit of {limit / 1e6:g} "
            "(--max-megapixels raises it)",
        )


@functools.cache
def _install() -> None:
    pillow_check: Any = getattr(Image, "_decompression_bomb_check", None)
    if pillow_check is None:  # a Pillow that checks differently: its own limit applies as well
        return

    @functools.wraps(pillow_check)
    def check(size: tuple[int, int], *arguments: Any, **options: Any) -> None:
        limit = _max_pixels.get()
        if limit is None:
            pillow_check(size, *arguments, **options)
        else:
            check_size(size, limit)

    Image._decompression_bomb_check = check
