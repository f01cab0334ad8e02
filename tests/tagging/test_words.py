"""Words in designs: an SVG's text as it is, pixels by text recognition where that is installed."""

import io
from importlib.util import find_spec

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from hangtag.errors import ImageError, MissingExtra
from hangtag.tagging import words as module
from hangtag.tagging.words import check_words, read_lines, words_of

needs_ocr = pytest.mark.skipif(find_spec("rapidocr") is None, reason="needs the ocr extra")


def lettered(text: str, ink: str, background: str | None) -> bytes:
    """Word art as PNG."""
    image = Image.new("RGBA", (400, 200), background or (0, 0, 0, 0))
    font = ImageFont.load_default(64)
    ImageDraw.Draw(image).text((30, 60), text, font=font, fill=ink)
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def test_an_svg_says_its_own_words() -> None:
    svg = b"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9">
      <text>Happy <tspan>Birthday</tspan></text><text>to it's 7</text>
      <text style="display: none">secret</text><defs><text>unused</text></defs><rect/></svg>"""
    found = words_of(svg, 25)
    assert [one.tag for one in found] == ["happy", "birthday", "to", "it's"]
    assert {(one.score, one.mark, one.kind) for one in found} == {(1.0, "suggest", "word")}


def test_a_broken_svg_is_an_error() -> None:
    with pytest.raises(ImageError):
        words_of(b"<svg xmlns='http://www.w3.org/2000/svg'><text>", 25)


@needs_ocr
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("ink", "background"),
    [("black", "white"), ("white", None), ("black", None), ("yellow", "navy")],
)
def test_words_are_read_whatever_their_ground(ink: str, background: str | None) -> None:
    found = words_of(lettered("Sweet Party", ink, background), 25)
    assert {one.tag for one in found} == {"sweet", "party"}
    assert all(0.8 <= one.score <= 1 for one in found)


@needs_ocr
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_drawings_say_nothing() -> None:
    disc = Image.new("RGBA", (300, 300))
    ImageDraw.Draw(disc).ellipse((40, 40, 260, 260), fill="crimson")
    assert read_lines(np.asarray(disc)) == []
    assert read_lines(np.zeros((40, 40, 4), np.uint8)) == []


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    module._engine.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "rapidocr", None)
    with pytest.raises(MissingExtra, match=r'pip install "hangtag\[ocr\]"'):
        check_words()
