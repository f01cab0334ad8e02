"""The store of a split's designs: what cannot be decoded is left out and logged."""

from pathlib import Path

import numpy as np
import pytest

from hangtag.dataset.images import encode_png
from hangtag.dataset.pixel_store import PixelStore
from hangtag.dataset.recordio import RecordReader, RecordWriter


@pytest.mark.parametrize("cache", [0, 2**30])
def test_a_record_that_is_not_an_image_is_left_out(
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
    assert "left out 1 unreadable images: 1" in capsys.readouterr().err
