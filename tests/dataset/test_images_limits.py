"""Sizes of what is decoded, limits on what may be, and what other users of Pillow notice of it."""

import io
import os
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from hangtag.dataset.images import decode
from hangtag.dataset.raster import libtiff
from hangtag.errors import ImageError
from tests.dataset.raster_files import saved

SIDES = st.integers(1, 700)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(SIDES, SIDES, st.integers(1, 97), st.sampled_from(["PNG", "JPEG", "GIF", "TIFF", "WEBP"]))
@example(700, 1, 16, "JPEG")
@example(1, 700, 16, "PNG")
@example(193, 192, 96, "JPEG")
def test_the_longest_side_is_never_over_the_size(
    width: int, height: int, size: int, kind: str
) -> None:
    pixels = decode(saved(Image.new("RGB", (width, height), "red"), kind), size)
    assert max(pixels.shape[:2]) == min(size, max(width, height))
    assert min(pixels.shape[:2]) >= 1
    if width >= height:
        assert abs(pixels.shape[0] - height * pixels.shape[1] / width) <= 1


NUMBERS = st.floats(2, 2000).map(lambda side: round(side, 3))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(NUMBERS, NUMBERS, st.sampled_from([16, 96, 97, 256]), st.sampled_from(["", "mm", "pt"]))
@example(145.583, 151.184, 16, "")
@example(1196.7, 1202.064, 97, "")
@example(0.75, 0.5, 96, "")
def test_a_drawing_has_exactly_the_size(width: float, height: float, size: int, unit: str) -> None:
    root = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}{unit}" height="{height}{unit}">'
    body = '<rect width="100%" height="100%" fill="red"/></svg>'
    pixels = decode((root + body).encode(), size)
    assert max(pixels.shape[:2]) == size
    assert min(pixels.shape[:2]) >= 1
    short, long = sorted((width, height))
    assert abs(min(pixels.shape[:2]) - size * short / long) <= 1
    assert pixels[-1, -1, 3] > 0  # nothing is cut off


def test_pillows_own_limit_stays_for_others() -> None:
    """A program that imports hangtag keeps Pillow's protection, after and during our decoding."""
    script = """
import io, sys, threading, warnings
from PIL import Image
before = Image.MAX_IMAGE_PIXELS
import hangtag.dataset.images as images, hangtag.tagging.tagger, hangtag.library.keywords.xmp
assert Image.MAX_IMAGE_PIXELS == before, "changed by import"
Image.MAX_IMAGE_PIXELS = 50
file = io.BytesIO()
Image.new("L", (20, 20)).save(file, "PNG")
failed = []
def others():
    for _ in range(200):
        try:
            Image.open(io.BytesIO(file.getvalue()))
        except Image.DecompressionBombError:
            continue
        failed.append("unprotected")
def ours():
    for _ in range(200):
        assert images.decode(file.getvalue(), 8).shape == (8, 8, 4)
threads = [threading.Thread(target=f) for f in (others, ours, others, ours)]
[t.start() for t in threads]
[t.join() for t in threads]
others()
assert not failed, failed
assert Image.MAX_IMAGE_PIXELS == 50
"""
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True, timeout=120)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "AVIF"])
def test_our_limit_holds_whatever_pillows_is(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(Image.new("L", (1100, 1000), 200), kind)
    for pillows in (None, 10, 10**9):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", pillows)
        with pytest.raises(ImageError, match="limit of 1 ") as caught:
            decode(data, 64, max_megapixels=1.0)
        assert caught.value.reason == "too-large"
        assert decode(data, 64, max_megapixels=1.2).shape == (58, 64, 4)


def damaged_tiff(compression: str) -> bytes:
    noise = np.random.default_rng(0).integers(0, 255, (99, 99, 3), np.uint8)
    data = bytearray(saved(Image.fromarray(noise), "TIFF", compression=compression))
    middle = len(data) // 2
    data[middle : middle + 50] = b"\xff" * 50
    return bytes(data)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate"])
@pytest.mark.parametrize("reachable", [True, False])
def test_libtiff_says_nothing_on_standard_error(
    compression: str, reachable: bool, capfd: pytest.CaptureFixture, monkeypatch
) -> None:
    """Also where its handlers cannot be reached, as in Pillow for Windows."""
    if not reachable:
        monkeypatch.setattr(libtiff, "_install", lambda: False)
    with pytest.raises(ImageError, match=r"decoder error -2; .*(code|incorrect)"):
        decode(damaged_tiff(compression), 64)
    os.write(2, b"of others\n")
    assert capfd.readouterr().err == "of others\n"


def test_what_libtiff_says_to_others_is_left_alone(capfd: pytest.CaptureFixture) -> None:
    decode(saved(Image.new("L", (9, 9), 7), "TIFF", compression="tiff_lzw"), 8)
    with pytest.raises(OSError, match="decoder error"), warnings.catch_warnings():
        Image.open(io.BytesIO(damaged_tiff("tiff_adobe_deflate"))).load()
    assert "ZIPDecode" in capfd.readouterr().err


def test_messages_of_threads_do_not_mix() -> None:
    found: dict[int, str] = {}

    def work(number: int) -> None:
        kind = ("tiff_lzw", "tiff_adobe_deflate")[number % 2]
        for _ in range(20):
            with pytest.raises(ImageError) as caught:
                decode(damaged_tiff(kind), 64)
            found[number] = str(caught.value)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ["incorrect" in found[number] for number in range(4)] == [False, True, False, True]


def test_a_damaged_tiff_is_one_line_of_a_command(tmp_path: Path) -> None:
    """From a worker process: the file's name and the cause, and nothing of libtiff besides."""
    designs = tmp_path / "designs"
    designs.mkdir()
    for number in range(3):
        image = Image.effect_noise((64, 64), 40 + number)
        (designs / f"{number}.png").write_bytes(saved(image, "PNG"))
    (designs / "lzw.tif").write_bytes(damaged_tiff("tiff_lzw"))
    tags = bytearray(saved(Image.new("L", (9, 9), 7), "TIFF", software="x" * 40))
    at = tags.index(b"\x31\x01")
    tags[at + 8 : at + 12] = b"\xff\xff\xff\x7f"  # a tag beyond the end of the file
    (designs / "tag.tif").write_bytes(tags)
    catalog = tmp_path / "catalog.csv"
    names = sorted(path.name for path in designs.iterdir())
    catalog.write_text("image,tags\n" + "".join(f"designs/{name},cat\n" for name in names))
    out = tmp_path / "dataset"
    command = [sys.executable, "-m", "hangtag", "pack", catalog, out, "--min-count", "1", "--quiet"]
    run = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=120)
    listed = (out / "rejected.csv").read_text() if out.exists() else run.stderr
    assert "lzw.tif" in listed, run.stderr
    assert "not yet in table" in listed or "code" in listed
    assert "tag.tif" not in listed
    for foreign in ("UserWarning", "LZWDecode", "tempfile.tif", "Traceback"):
        assert foreign not in run.stderr
