"""Words in designs: an SVG's own text, else what text recognition reads (the `ocr` extra).

Suggested as tags of their own kind, "word". The score is 1 for text in an SVG's XML, else the
confidence of the line that the word was read in.
"""

import functools
import re
from collections.abc import Iterable
from typing import Any, Final

import numpy as np

from hangtag.dataset.images import Pixels, decode
from hangtag.dataset.svg.drawing import is_svg
from hangtag.dataset.svg.words import written_text
from hangtag.errors import MissingExtra
from hangtag.library.rules import normalise_tag
from hangtag.tagging.tagger import Suggestion

SIDE: Final = 640  # pixels of the longest side that words are read at
# Chosen with benchmarks/words.py: a line of less confidence is rather a drawing.
LEAST: Final = 0.8
MOST: Final = 20  # words of a design
# Letters and digits, with apostrophes inside.
_WORD: Final = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")
_LIGHT, _DARK = 255, 24  # backgrounds
_WEIGHTS: Final = np.array([0.299, 0.587, 0.114], np.float32)  # of luma

Lines = list[tuple[str, float]]


def check_words() -> None:
    """Raise MissingExtra where text recognition is not installed."""
    _engine()


def words_of(data: bytes, max_megapixels: float) -> tuple[Suggestion, ...]:
    """Return the words in a design, each once, the most certain first. Raises ImageError."""
    texts = written_text(data) if is_svg(data) else []
    if texts:
        return _words((text, 1.0) for text in texts)
    return _words(read_lines(decode(data, SIDE, max_megapixels)))


def read_lines(pixels: Pixels) -> Lines:
    """Return the lines of text in a design, uint8 (h, w, 4), each with its confidence, 0 to 1.

    A transparent design is read on a background that contrasts with it; where that shows nothing,
    on the other one: letters may be outlined in the colour of either.
    """
    visible = pixels[..., 3] > 0
    if not visible.any():
        return []
    if visible.all() and (pixels[..., 3] == 255).all():
        return _read(pixels[..., :3])
    weights = pixels[visible][:, 3].astype(np.float32)
    luma = np.average(pixels[visible][:, :3] @ _WEIGHTS, weights=weights)
    first, second = (_DARK, _LIGHT) if luma > 160 else (_LIGHT, _DARK)
    return _read(_on(pixels, first)) or _read(_on(pixels, second))


def _on(pixels: Pixels, background: int) -> Pixels:
    alpha = pixels[..., 3:].astype(np.float32) / 255
    found: Pixels = np.rint(pixels[..., :3] * alpha + background * (1 - alpha)).astype(np.uint8)
    return found


def _read(rgb: Pixels) -> Lines:
    found = _engine()(np.ascontiguousarray(rgb[..., ::-1]))  # it takes OpenCV's order of channels
    texts, scores = found.txts or (), found.scores or ()
    lines = zip(texts, map(float, scores), strict=True)
    return [(text, score) for text, score in lines if score >= LEAST]


def _words(lines: Iterable[tuple[str, float]]) -> tuple[Suggestion, ...]:
    best: dict[str, float] = {}
    for text, score in lines:
        for word in _WORD.findall(text):
            name = normalise_tag(word)
            if sum(map(str.isalpha, name)) >= 2:
                best[name] = max(score, best.get(name, 0.0))
    order = sorted(best, key=lambda name: -best[name])[:MOST]
    return tuple(Suggestion(name, best[name], "suggest", "word") for name in order)


@functools.cache
def _engine() -> Any:
    """Return the recognition, of one thread: designs are read in processes, side by side."""
    try:
        from rapidocr import RapidOCR
    except ImportError as cause:
        raise MissingExtra("reading words", "ocr") from cause
    threads = {f"EngineConfig.onnxruntime.{name}_op_num_threads": 1 for name in ("intra", "inter")}
    return RapidOCR(params={"Global.log_level": "critical", "Global.use_cls": False, **threads})
