"""Batches: the same for the same step, and whole designs."""

from pathlib import Path

import numpy as np
import pytest

from hangtag.dataset import batches as module
from hangtag.dataset.augmentation import Augmentation
from hangtag.dataset.batches import Batches, shuffled
from hangtag.dataset.images import encode_png
from hangtag.dataset.pixel_store import PixelStore
from hangtag.dataset.recordio import RecordReader, RecordWriter

pytest.importorskip("cv2", reason="needs the train extra, which warps designs")

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
    labels = np.arange(len(records), dtype=np.int8)[:, None]  # identifies the design
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
    computed = []

    def counted(designs: int, seed: int, epoch: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        computed.append(epoch)
        return shuffled(designs, seed, epoch)

    expected = [batches(records).batch(step) for step in range(8)]
    monkeypatch.setattr(module, "shuffled", counted)
    made = batches(records)
    for found, (inputs, labels) in zip(made.iterate(0, 4), expected[:4], strict=True):
        assert (found[0] == inputs).all()
        assert (found[1] == labels).all()
    assert computed == [0]
    assert (made.batch(7)[1] == expected[7][1]).all()
    assert (made.batch(3)[1] == expected[3][1]).all()
    # The order of a seed and an epoch is part of every checkpoint: it stays what it was.
    assert shuffled(8, 3, 1).tolist() == ORDER


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
