"""Batches: the same for the same step, whole designs, and changes that keep what tags say."""

from pathlib import Path

import numpy as np
import pytest

from hangtag.dataset import batches as module
from hangtag.dataset.batches import (
    Augmentation,
    Batches,
    PixelStore,
    augment,
    has_colour_tags,
    shuffled,
    sided_designs,
)
from hangtag.dataset.images import encode_png
from hangtag.dataset.recordio import RecordReader, RecordWriter

ORDER: list[int] = [4, 3, 1, 6, 0, 2, 5, 7]
STRONG = Augmentation(
    flip=True, rotate=20, scale=0.3, aspect=0.2, shift=0.1, shear=0.1, hue=60, saturation=0.4,
    brightness=0.3, flatten=0.3, erase=0.3,
)  # fmt: skip


@pytest.fixture
def records(tmp_path: Path) -> RecordReader:
    rng = np.random.default_rng(0)
    with RecordWriter(tmp_path / "a.rec") as writer:
        for key in range(37):
            pixels = rng.integers(0, 256, (20, 30, 4), dtype=np.uint8)
            writer.write(key, [1.0, 0.0], encode_png(pixels), id=key)
    return RecordReader(tmp_path / "a.rec")


def batches(records: RecordReader, cache: int = 2**30, seed: int = 3) -> Batches:
    labels = np.arange(len(records), dtype=np.int8)[:, None]  # tells which design a row is
    return Batches(PixelStore(records, 256, 24, cache), labels, 8, STRONG, seed)


def test_a_step_is_the_same_in_any_order_and_from_any_store(records: RecordReader) -> None:
    forward, backward = batches(records), batches(records, cache=0)
    expected = [forward.batch(step) for step in range(12)]
    for step in reversed(range(12)):
        inputs, labels = backward.batch(step)
        assert (inputs == expected[step][0]).all()
        assert (labels == expected[step][1]).all()
    for step, (inputs, labels) in enumerate(forward.iterate(5, 12), start=5):
        assert (inputs == expected[step][0]).all()
        assert (labels == expected[step][1]).all()
    other = batches(records, seed=4).batch(0)
    assert (other[1] != expected[0][1]).any()


def test_an_epochs_order_is_computed_once(
    records: RecordReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def counted(designs: int, seed: int, epoch: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        asked.append(epoch)
        return shuffled(designs, seed, epoch)

    expected = [batches(records).batch(step) for step in range(8)]
    monkeypatch.setattr(module, "shuffled", counted)
    made = batches(records)
    for found, (inputs, labels) in zip(made.iterate(0, 4), expected[:4], strict=True):
        assert (found[0] == inputs).all()
        assert (found[1] == labels).all()
    assert asked == [0]
    assert (made.batch(7)[1] == expected[7][1]).all()
    assert (made.batch(3)[1] == expected[3][1]).all()
    # The order of a seed and an epoch is part of every checkpoint: it stays what it was.
    assert shuffled(8, 3, 1).tolist() == ORDER


def test_lists_of_tags_do_not_depend_on_how_they_are_indented() -> None:
    assert module._names("left,\n\t\tarrow  left,right,\n  word art") == {
        "left", "arrow left", "right", "word art",
    }  # fmt: skip
    for names in (module.SIDED_TAGS, module.COLOUR_TAGS):
        assert all(name == " ".join(name.split()) and name for name in names)
    assert {"northwest", "words", "clock"} <= module.SIDED_TAGS


def test_an_epoch_shows_no_design_twice_and_epochs_differ(records: RecordReader) -> None:
    made = batches(records)
    assert made.steps_per_epoch == 4
    epochs = [[made.batch(4 * e + s)[1][:, 0].tolist() for s in range(4)] for e in range(2)]
    for epoch in epochs:
        shown = [design for batch in epoch for design in batch]
        assert len(set(shown)) == 32
    assert epochs[0] != epochs[1]


def test_parts_of_a_batch_make_the_whole(records: RecordReader) -> None:
    made = batches(records)
    whole = made.batch(2)[1][:, 0].tolist()
    parts = [made.batch(2, part, 2)[1][:, 0].tolist() for part in range(2)]
    assert parts[0] + parts[1] == whole


@pytest.mark.parametrize("cache", [0, 2**30])
def test_a_record_that_is_no_image_is_left_out(
    tmp_path: Path, cache: int, capsys: pytest.CaptureFixture[str]
) -> None:
    good = np.full((9, 9, 4), 255, np.uint8)
    with RecordWriter(tmp_path / "b.rec") as writer:
        for key, data in enumerate((encode_png(good), b"no image", encode_png(good // 2))):
            writer.write(key, [1.0], data, id=key)
    store = PixelStore(RecordReader(tmp_path / "b.rec"), 256, 24, cache)
    assert store.kept.tolist() == [0, 2]
    assert len(store) == 2
    assert store.inputs([0, 1])[:, 12, 12, 3].tolist() == [255, 127]
    assert "left out 1 images that are unreadable: 1" in capsys.readouterr().err


def square_with(colour: tuple[int, int, int], left: int, size: int = 64) -> np.ndarray:
    inputs = np.zeros((1, size, size, 4), np.uint8)
    inputs[0, 20:44, left : left + 16] = (*colour, 255)
    return inputs


def many(
    inputs: np.ndarray, how: Augmentation, sided: bool = False, count: int = 200
) -> np.ndarray:
    repeated = np.repeat(inputs, count, axis=0)
    return augment(repeated, how, np.full(count, sided), np.random.default_rng(0))


def test_nothing_asked_for_changes_nothing() -> None:
    inputs = square_with((10, 200, 30), 4)
    assert (many(inputs, Augmentation(), count=3) == inputs).all()


def test_pixels_stay_premultiplied_and_transparency_stays_transparent() -> None:
    changed = many(square_with((250, 120, 0), 24), STRONG)
    assert (changed[..., :3] <= changed[..., 3:]).all()
    colour_only = Augmentation(hue=180, saturation=1, brightness=1)
    recoloured = many(square_with((250, 120, 0), 24), colour_only)
    assert (recoloured[..., 3] == square_with((0, 0, 0), 24)[..., 3]).all()
    assert (recoloured[:, :10] == 0).all()


def test_mirrors_half_of_the_designs_but_no_sided_one() -> None:
    inputs = square_with((9, 9, 9), 4)
    mirrored = many(inputs, Augmentation(flip=True))[:, 32, 55, 3] > 0
    assert 70 < mirrored.sum() < 130
    assert not (many(inputs, Augmentation(flip=True), sided=True)[:, 32, 55, 3] > 0).any()


def test_small_hue_turns_leave_a_colour_its_name() -> None:
    """Red stays nearer to red than to any other colour of the rainbow."""
    names = np.array(
        [[255, 0, 0], [255, 165, 0], [255, 255, 0], [0, 128, 0], [0, 0, 255], [128, 0, 128]]
    )
    how = Augmentation(hue=8, saturation=0.3, brightness=0.2)
    shown = many(square_with((255, 0, 0), 24), how)[:, 32, 30, :3].astype(int)
    nearest = np.linalg.norm(shown[:, None] - names[None], axis=2).argmin(axis=1)
    assert (nearest == 0).all()


def test_black_stays_darker_than_white() -> None:
    how = Augmentation(saturation=0.5, brightness=0.5, hue=180)
    black = many(square_with((0, 0, 0), 24), how)[:, 32, 30, :3]
    white = many(square_with((255, 255, 255), 24), how)[:, 32, 30, :3]
    assert int(black.max()) < int(white.min())


def test_flatten_makes_the_background_opaque_and_keeps_the_design() -> None:
    flat = many(square_with((10, 200, 30), 24), Augmentation(flatten=1))
    assert (flat[..., 3] == 255).all()
    assert (flat[:, 32, 30, :3] == (10, 200, 30)).all()
    backgrounds = {tuple(colour) for colour in flat[:, 0, 0, :3].tolist()}
    assert (255, 255, 255) in backgrounds
    assert len(backgrounds) > 20


def test_sided_and_colour_tags_are_known_by_name() -> None:
    names = ["cat", "left", "word art"]
    labels = np.array([[1, 0, -1], [1, 1, 0], [0, -1, 1]], np.int8)
    assert sided_designs(labels, names).tolist() == [False, True, True]
    assert has_colour_tags(["cat", "teal"])
    assert not has_colour_tags(names)
