"""Strokes that keep their width under transforms (checked with Chromium)."""

import numpy as np
import pytest

from hangtag.dataset.images import decode

SIDES = 'width="40" height="40" viewBox="0 0 40 40"'
FIXED = 'vector-effect="non-scaling-stroke"'
LINE = f'<path id="p" d="M0 2h4" stroke="red" stroke-width="10" {FIXED}/>'


def width(sides: str, body: str) -> float:
    """Return the height of what is red in the middle column, as a share of the drawing's."""
    data = f'<svg xmlns="http://www.w3.org/2000/svg" {sides}>{body}</svg>'.encode()
    column = decode(data, 160)[:, 80].astype(float)
    assert column[:, 0].max() == 255
    return float(np.mean(column[:, 3]) / 255)


@pytest.mark.parametrize(
    ("sides", "body", "share"),
    [
        (SIDES, f'<g transform="scale(10)">{LINE}</g>', 10 / 40),
        (SIDES, LINE.replace("<path", '<path transform="scale(10)"'), 10 / 40),
        (
            SIDES,
            '<g transform="scale(10)" style="stroke-width:10;stroke:red">'
            '<path d="M0 2h4" style="vector-effect:non-scaling-stroke"/></g>',
            10 / 40,
        ),
        (
            SIDES,
            "<style>path{vector-effect:non-scaling-stroke;stroke-width:10px;stroke:red}</style>"
            '<g transform="scale(10)"><path d="M0 2h4"/></g>',
            10 / 40,
        ),
        (SIDES, f'<defs>{LINE}</defs><use href="#p" transform="scale(10)"/>', 10 / 40),
        (
            SIDES,
            f'<symbol id="s" viewBox="0 0 4 4">{LINE}</symbol>'
            '<use href="#s" width="40" height="40"/>',
            10 / 40,
        ),
        (SIDES, f'<svg viewBox="0 0 4 4" width="40" height="40">{LINE}</svg>', 10 / 40),
        ('width="40" height="40" viewBox="0 0 4 4"', LINE, 10 / 40),
        ('width="100" viewBox="0 0 4 4"', LINE, 10 / 100),
        ('viewBox="0 0 4 4"', LINE, 10 / 150),  # the size of <img> without a width and height
        (SIDES, f'<g transform="scale(10)" {FIXED}>{LINE.replace(FIXED, "")}</g>', 1.0),
        (SIDES, f'<g id="x" transform="scale(10)">{LINE}<use href="#x"/></g>', 10 / 40),
    ],
)
def test_the_width_stays(sides: str, body: str, share: float) -> None:
    assert width(sides, body) == pytest.approx(share, abs=0.01)


def test_dashes_stay() -> None:
    dashes = 'stroke-dasharray="10, 5" stroke-dashoffset="5px"'
    line = LINE.replace("<path", f"<path {dashes}")
    data = f'<svg xmlns="http://www.w3.org/2000/svg" {SIDES}><g transform="scale(10)">{line}</g>'
    row = decode(f"{data}</svg>".encode(), 40)[20, :, 3]
    assert (row[[2, 12, 17]] == 255).all()
    assert (row[[7, 22, 37]] == 0).all()
