"""Near-duplicates: a drawing recoloured, resized or padded has its group, another drawing not."""

import time
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from hangtag.library.filters import gaussian, neighbours
from hangtag.library.fingerprints import FINGERPRINT_BYTES, fingerprint, mirrored, same_drawing
from hangtag.library.near_duplicates import merge_groups, near_duplicate_groups

Pixels = NDArray[np.uint8]
Colour = tuple[int, int, int]
YELLOW, BROWN = (250, 200, 40), (90, 50, 20)
SIDE = 640


def face(mouth: Callable[[ImageDraw.ImageDraw], None], eyes: int = 25) -> Pixels:
    """Draw a yellow disc with two eyes and a mouth."""
    picture = Image.new("RGBA", (SIDE, SIDE))
    draw = ImageDraw.Draw(picture)
    draw.ellipse((40, 40, 600, 600), YELLOW)
    for x in (220, 420):
        draw.ellipse((x - eyes, 240 - eyes, x + eyes, 240 + eyes), BROWN)
    mouth(draw)
    return finished(picture)


def icon(*strokes: list[tuple[int, int]]) -> Pixels:
    """Draw a black frame with black strokes inside."""
    picture = Image.new("RGBA", (SIDE, SIDE))
    draw = ImageDraw.Draw(picture)
    draw.rounded_rectangle((60, 60, 580, 580), 60, outline="black", width=40)
    for stroke in strokes:
        draw.line(stroke, "black", 44)
    return finished(picture)


def filled(*points: tuple[int, int]) -> Pixels:
    picture = Image.new("RGBA", (SIDE, SIDE))
    ImageDraw.Draw(picture).polygon(points, (200, 30, 60))
    return finished(picture)


def finished(picture: Image.Image) -> Pixels:
    """Shrink to 256 px, as antialiased designs come."""
    return np.array(
        picture.convert("RGBa").resize((256, 256), Image.Resampling.BOX).convert("RGBA")
    )


def paper(direction: str, period: int) -> Pixels:
    """Draw an opaque striped or dotted paper."""
    y, x = np.mgrid[:256, :256]
    wave = {"across": x, "down": y, "slanting": x + y}.get(direction)
    if wave is None:
        light = (x % period - period / 2) ** 2 + (y % period - period / 2) ** 2 < period**2 / 9
    else:
        light = wave % period < period / 2
    return np.dstack([np.where(light, 230, 200)] * 3 + [np.full_like(x, 255)]).astype(np.uint8)


DRAWINGS = {
    "smile": face(lambda d: d.arc((180, 280, 460, 480), 20, 160, BROWN, 26)),
    "frown": face(lambda d: d.arc((180, 380, 460, 560), 200, 340, BROWN, 26)),
    "gasp": face(lambda d: d.ellipse((260, 360, 380, 500), BROWN)),
    "stare": face(lambda d: d.line([(220, 430), (420, 430)], BROWN, 26), eyes=55),
    "plus": icon([(200, 320), (440, 320)], [(320, 200), (320, 440)]),
    "minus": icon([(200, 320), (440, 320)]),
    "cross": icon([(220, 220), (420, 420)], [(220, 420), (420, 220)]),
    "check": icon([(200, 330), (290, 420), (450, 230)]),
    "square": filled((100, 100), (540, 100), (540, 540), (100, 540)),
    "diamond": filled((320, 60), (580, 320), (320, 580), (60, 320)),
    "triangle": filled((320, 80), (580, 560), (60, 560)),
    "arrow": filled(
        (60, 260), (360, 260), (360, 120), (600, 320), (360, 520), (360, 380), (60, 380)
    ),
    "broad stripes": paper("across", 64),
    "stripes": paper("across", 40),
    "level stripes": paper("down", 64),
    "slanting stripes": paper("slanting", 64),
    "dots": paper("dots", 64),
    "many dots": paper("dots", 36),
}


def hue_turned(design: Pixels) -> Pixels:
    hsv = np.array(Image.fromarray(design[..., :3].copy()).convert("HSV"))
    hsv[..., 0] += 110
    return np.dstack([Image.fromarray(hsv, "HSV").convert("RGB"), design[..., 3]])


def with_colours(design: Pixels, colours: NDArray[np.floating]) -> Pixels:
    return np.dstack([np.clip(colours, 0, 255).astype(np.uint8), design[..., 3]])


def inverted(design: Pixels) -> Pixels:
    return with_colours(design, 255.0 - design[..., :3])


def lightened(design: Pixels) -> Pixels:
    return with_colours(design, 150 + design[..., :3] * 0.4)


def resized(design: Pixels, height: int, width: int) -> Pixels:
    picture = Image.fromarray(design).convert("RGBa")
    return np.array(picture.resize((width, height), Image.Resampling.BICUBIC).convert("RGBA"))


def padded(design: Pixels) -> Pixels:
    return np.pad(design, ((0, 90), (130, 11), (0, 0)))


CHANGES: dict[str, Callable[[Pixels], Pixels]] = {
    "hue turned": hue_turned,
    "inverted": inverted,
    "lightened": lightened,
    "64 px": lambda design: resized(design, 64, 64),
    "512 px": lambda design: resized(design, 512, 512),
    "padded": padded,
    "padded, 128 px, inverted": lambda design: inverted(resized(padded(design), 128, 147)),
}


def labels_of(designs: list[Pixels]) -> NDArray[np.int64]:
    return near_duplicate_groups(np.stack([fingerprint(design) for design in designs]))


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_drawing_joins_its_original_and_no_other(change: str) -> None:
    if "px" in change or "padded" in change:  # fine patterns may blur; transparency is no paper
        names = [name for name in DRAWINGS if "stripes" not in name and "dots" not in name]
    else:
        names = list(DRAWINGS)
    originals = [DRAWINGS[name] for name in names]
    labels = labels_of(originals + [CHANGES[change](design) for design in originals])
    assert labels[: len(names)].tolist() == labels[len(names) :].tolist()
    assert len(set(labels.tolist())) == len(names)


def test_black_and_white_icons_are_one_design() -> None:
    black = [DRAWINGS[name] for name in ("plus", "minus", "cross", "check")]
    white = [with_colours(design, np.full((256, 256, 3), 255.0)) for design in black]
    labels = labels_of(black + white)
    assert labels[:4].tolist() == labels[4:].tolist()
    assert len(set(labels.tolist())) == 4


def test_stretching_makes_another_design() -> None:
    assert (
        len(set(labels_of([DRAWINGS["plus"], resized(DRAWINGS["plus"], 256, 330)]).tolist())) == 2
    )


def test_colour_under_full_transparency_is_never_seen() -> None:
    design = DRAWINGS["smile"]
    garbage = design.copy()
    hidden = design[..., 3] == 0
    garbage[hidden, :3] = np.random.default_rng(0).integers(0, 256, (hidden.sum(), 3))
    assert (fingerprint(garbage) == fingerprint(design)).all()


def test_faint_textures_are_distinguished() -> None:
    rng = np.random.default_rng(0)
    blur = neighbours(256, gaussian(5), "reflect")
    grain = (blur @ rng.normal(0, 60, (12, 256, 256)) @ blur.T).transpose(1, 2, 0)
    papers = [
        with_colours(np.full((256, 256, 4), 255, np.uint8), 220 + grain[..., i, None] * [2, 1.5, 1])
        for i in range(12)
    ]
    labels = labels_of([*papers, *map(hue_turned, papers)])
    assert labels[:12].tolist() == labels[12:].tolist()
    assert len(set(labels.tolist())) == 12


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (3, 2)])
def test_tiny_designs_have_a_fingerprint(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    design = rng.integers(0, 256, (*shape, 4), dtype=np.uint8)
    design.setflags(write=False)
    found = fingerprint(design)
    assert found.shape == (FINGERPRINT_BYTES,)
    assert found.dtype == np.uint8


def test_blank_designs_are_groups_of_their_own() -> None:
    clear = np.zeros((256, 256, 4), np.uint8)
    hidden_noise = np.random.default_rng(0).integers(0, 256, (64, 64, 4), dtype=np.uint8)
    hidden_noise[..., 3] = 0
    flat = np.full((200, 300, 4), 255, np.uint8)
    blanks = [clear, clear, hidden_noise, flat, flat // 2, clear[:1, :1]]
    assert not any(fingerprint(blank).any() for blank in blanks)
    labels = labels_of([*blanks, DRAWINGS["plus"], DRAWINGS["plus"]])
    assert len(set(labels.tolist())) == len(blanks) + 1


def test_a_plain_square_on_transparency_is_a_drawing() -> None:
    square = np.zeros((100, 100, 4), np.uint8)
    square[20:80, 20:80] = (200, 0, 0, 255)
    small = np.zeros((70, 90, 4), np.uint8)
    small[5:35, 40:70] = (0, 0, 90, 255)
    assert len(set(labels_of([square, small]).tolist())) == 1


def test_many_blanks_and_many_copies_cost_little() -> None:
    blanks = np.zeros((100_000, FINGERPRINT_BYTES), np.uint8)
    copies = np.tile(fingerprint(DRAWINGS["smile"]), (100_000, 1))
    start = time.process_time()
    labels = near_duplicate_groups(np.concatenate([blanks, copies]))
    assert time.process_time() - start < 20
    assert len(np.unique(labels[:100_000])) == 100_000
    assert len(np.unique(labels[100_000:])) == 1


def test_a_hundred_recolours_and_sizes_of_one_drawing_are_one_group() -> None:
    rng = np.random.default_rng(0)
    lightness = DRAWINGS["gasp"][..., :3].mean(axis=2, keepdims=True) / 255
    family = []
    for _ in range(130):
        low, high = rng.uniform(0, 90, 3), rng.uniform(160, 255, 3)
        if rng.random() < 0.5:
            low, high = high, low
        side = int(rng.integers(80, 300))
        recoloured = with_colours(DRAWINGS["gasp"], low + lightness * (high - low))
        family.append(resized(recoloured, side, side))
    labels = labels_of([*family, DRAWINGS["smile"]])
    assert (labels[:-1] == labels[0]).all()
    assert labels[-1] != labels[0]


def test_a_long_series_of_small_steps_is_not_one_group() -> None:
    y, x = np.mgrid[:96, :96] - 47.5
    series = []
    for step in range(160):
        width, height = 44 - step / 6, 20 + step / 6
        alpha = np.clip((1 - (x / width) ** 2 - (y / height) ** 2) * 12, 0, 1) * 255
        hole = np.clip((x**2 + y**2 - (step / 12) ** 2) / 8, 0, 1)
        series.append(np.dstack([np.zeros((96, 96, 3)), alpha * hole]).astype(np.uint8))
    labels = labels_of(series)
    assert labels[0] != labels[-1]
    assert np.bincount(labels).max() < 100


def test_the_order_of_designs_does_not_matter() -> None:
    designs = [*DRAWINGS.values(), *map(inverted, DRAWINGS.values())]
    prints = np.stack([fingerprint(design) for design in designs])
    order = np.random.default_rng(0).permutation(len(prints))
    one, other = near_duplicate_groups(prints)[order], near_duplicate_groups(prints[order])
    assert ((one[:, None] == one) == (other[:, None] == other)).all()


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_few_designs(count: int) -> None:
    prints = [fingerprint(design) for design in list(DRAWINGS.values())[:count]]
    labels = near_duplicate_groups(np.array(prints, np.uint8).reshape(count, FINGERPRINT_BYTES))
    assert labels.dtype == np.int64
    assert labels.tolist() == list(dict.fromkeys(labels.tolist()))


def test_merged_groups_hold_together_what_any_grouping_does() -> None:
    merged = merge_groups(
        np.array([0, 0, 1, 2, 3, 4]), np.array([9, 8, 8, 7, 6, 5]), np.array([1, 2, 3, 4, 4, 5])
    )
    assert merged.tolist() == [0, 0, 0, 1, 1, 2]


def test_merging_follows_long_chains() -> None:
    count = 10_001
    links = np.arange(count) // 2
    shifted = (np.arange(count) + 1) // 2
    assert np.unique(merge_groups(links, shifted)).tolist() == [0]


def test_a_mirrored_fingerprint_is_that_of_the_flipped_design() -> None:
    rng = np.random.default_rng(3)
    pixels = np.zeros((90, 120, 4), np.uint8)
    for _ in range(8):
        top, left = rng.integers(0, 60, 2)
        height, width = rng.integers(10, 30, 2)
        pixels[top : top + height, left : left + width] = (*rng.integers(0, 256, 3), 255)
    one, flipped = fingerprint(pixels)[None], fingerprint(pixels[:, ::-1])[None]
    assert same_drawing(mirrored(one), flipped).all()
    assert not same_drawing(one, flipped).any()
    np.testing.assert_array_equal(mirrored(mirrored(one)), one)
    assert not mirrored(np.zeros_like(one)).any()
