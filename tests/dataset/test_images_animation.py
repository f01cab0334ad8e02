"""Which frame of an animation becomes the design, and that frames are composed as in browsers."""

import time

import numpy as np
import pytest
from PIL import Image, ImageDraw

from hangtag.dataset.images import decode
from hangtag.dataset.raster import animation
from hangtag.errors import ImageError
from tests.dataset.raster_files import apng, gif, saved

EMPTY = Image.new("RGBA", (40, 40))
RED = Image.new("RGBA", (40, 40), (255, 0, 0, 255))
GREEN = [0, 255, 0, 255]
KINDS = ["GIF", "PNG", "WEBP", "AVIF"]


def is_red(pixels: np.ndarray, tolerance: int = 8) -> bool:
    return bool(np.abs(pixels[20, 20].astype(int) - (255, 0, 0, 255)).max() <= tolerance)


def animated(kind: str, *frames: Image.Image, **options: object) -> bytes:
    first, *rest = frames
    if first.mode == "RGBA":  # frames are cleared, as none is opaque
        options |= {"GIF": {"disposal": 2}, "PNG": {"disposal": 1}}.get(kind, {})
    return saved(first, kind, save_all=True, append_images=rest, duration=100, **options)


def faded(alpha: int) -> Image.Image:
    return Image.new("RGBA", (40, 40), (255, 0, 0, alpha))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("empty", [1, 5])
def test_empty_frames_at_the_beginning_are_passed_over(kind: str, empty: int) -> None:
    frames = [EMPTY.copy() for _ in range(empty)]
    for number, frame in enumerate(frames):  # encoders join frames that are the same
        frame.putpixel((number, 0), (0, 0, 0, 1 if kind != "GIF" else 255))
    assert is_red(decode(animated(kind, *frames, RED), 64))


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "AVIF"])
def test_a_fade_is_judged_where_it_can_be_seen(kind: str) -> None:
    pixels = decode(animated(kind, *(faded(alpha) for alpha in (2, 6, 30, 200, 255))), 64)
    assert pixels[20, 20, 3] >= 128


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ground", ["black", "white"])
def test_a_fade_from_an_opaque_colour(kind: str, ground: str) -> None:
    frames = [Image.new("RGB", (40, 40), ground) for _ in range(3)]
    for frame, strength in zip(frames, (0.0, 0.05, 1.0), strict=True):
        ImageDraw.Draw(frame).rectangle((10, 10, 30, 30), "red")
        frame.paste(Image.blend(Image.new("RGB", (40, 40), ground), frame, strength))
    assert is_red(decode(animated(kind, *frames), 64), 80)


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_frame_wins_where_it_shows_something(kind: str) -> None:
    pastel = Image.new("RGB", (40, 40), "#ffffff")
    ImageDraw.Draw(pastel).ellipse((5, 5, 35, 35), "#f0e0f8")
    loud = pastel.copy()
    ImageDraw.Draw(loud).rectangle((15, 15, 22, 22), "#e0c8f0")
    centre = decode(animated(kind, pastel, loud), 64)[18, 18]
    assert np.abs(centre.astype(int) - (0xF0, 0xE0, 0xF8, 255)).max() <= 8


@pytest.mark.parametrize("kind", KINDS)
def test_an_animation_of_empty_frames_is_blank(kind: str) -> None:
    with pytest.raises(ImageError) as caught:
        decode(animated(kind, EMPTY, EMPTY.copy()), 64)
    assert caught.value.reason == "blank"


@pytest.mark.parametrize("kind", KINDS)
def test_damage_after_the_frame_that_shows_something_costs_nothing(kind: str) -> None:
    noise = Image.effect_noise((40, 40), 90).convert("RGBA")
    disc = EMPTY.copy()
    ImageDraw.Draw(disc).rectangle((5, 5, 35, 35), (255, 0, 0, 255))
    whole = animated(kind, disc, noise, noise.rotate(90))
    damaged = whole[:-400] + bytes(370) + whole[-30:]
    assert is_red(decode(damaged, 64))
    if kind == "GIF":
        assert is_red(decode(whole[:-400], 64))


def test_a_still_default_image_that_is_no_frame_is_not_shown() -> None:
    """Browsers show the animation, whatever the image for other programs is."""
    white, red = np.full((8, 8, 4), 255, np.uint8), np.zeros((8, 8, 4), np.uint8)
    red[2:6, 2:6] = (255, 0, 0, 255)
    pixels = decode(apng(8, (red, 0, 0, 0, 1), default=white), 64)
    assert pixels[4, 4].tolist() == [255, 0, 0, 255]
    assert pixels[0, 0, 3] == 0  # nothing of the default image is under it
    cut = apng(8, (red, 0, 0, 0, 1), default=white).replace(b"fdAT", b"fdAX")
    assert decode(cut, 64)[0, 0].tolist() == [255] * 4  # without frames it is shown


@pytest.mark.parametrize(
    ("disposal", "blend", "expected"),
    [
        (0, 1, ([255, 0, 0, 255], GREEN)),  # kept: the second frame is over it
        (1, 1, ([0, 0, 0, 0], GREEN)),  # cleared before the second
        (2, 1, ([0, 0, 0, 0], GREEN)),  # restored to the empty canvas
        (0, 0, ([255, 0, 0, 255], GREEN)),
    ],
)
def test_frames_of_an_apng_are_composed(disposal: int, blend: int, expected: tuple) -> None:
    size = 200
    spot = np.full((2, 2, 4), (255, 0, 0, 255), np.uint8)  # too little to be judged by
    bar = np.full((size // 2, size, 4), (0, 255, 0, 255), np.uint8)
    data = apng(
        size,
        (np.zeros((size, size, 4), np.uint8), 0, 0, 0, 0),
        (spot, 3, 3, disposal, 1),
        (bar, 0, size // 2, 0, blend),
    )
    pixels = decode(data, size)
    assert (pixels[4, 4].tolist(), pixels[size - 1, 9].tolist()) == expected
    assert pixels[50, 50, 3] == 0


def test_frames_of_a_gif_are_composed_on_transparency() -> None:
    """Neither the background colour nor palette entry 0 fills what no frame covers."""
    green = Image.new("P", (10, 10), 1)
    pixels = decode(gif(40, (green, 5, 5, 0, None)), 64)
    assert pixels[8, 8].tolist() == GREEN
    assert pixels[30, 30, 3] == 0
    blue = Image.new("P", (30, 30), 2)
    for disposal, corner in ((1, GREEN), (2, [0, 0, 0, 0]), (3, [0, 0, 0, 0])):
        dot = Image.new("P", (2, 2), 1)
        pixels = decode(gif(40, (dot, 0, 0, disposal, None), (blue, 5, 5, 0, 3)), 64)
        assert pixels[0, 0].tolist() == corner
        assert pixels[20, 20].tolist() == [0, 0, 255, 255]


def test_what_is_looked_at_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 5,000 empty frames, as many are decoded as the budget of pixels allows."""
    assert animation.frame_budget((5000, 5000)) == 12
    assert animation.frame_budget((10, 10)) == 128
    assert animation.frame_budget((10000, 10000)) >= 2
    monkeypatch.setattr(animation, "MAX_FRAME_PIXELS", 2**22)
    frame = saved(Image.new("P", (1000, 1000), 3), "GIF", transparency=3)
    start = frame.index(b"!\xf9")
    data = frame[:-1] + frame[start:-1] * 5000
    began = time.process_time()
    with pytest.raises(ImageError, match="transparent"):
        decode(data, 64)
    assert time.process_time() - began < 10
