"""What becomes of designs on their way to the model: real files in every format, made here."""

import io
import struct
import time
import zlib

import numpy as np
import pytest
from PIL import Image, ImageDraw

from hangtag.dataset.images import decode, encode_jpeg, encode_png, fit, trimmed
from hangtag.errors import ImageError

RED = (200, 30, 40, 255)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def disc(
    colour: tuple[int, int, int, int], size: int = 200, hidden: str = "#00000000"
) -> Image.Image:
    """A disc with hard edges on full transparency; `hidden` is the colour under it."""
    image = Image.new("RGBA", (size, size), hidden)
    ImageDraw.Draw(image).ellipse((size // 4, size // 4, size * 3 // 4, size * 3 // 4), colour)
    return image


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *extra: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = (
        chunk(b"IHDR", header),
        *extra,
        chunk(b"IDAT", zlib.compress(rows)),
        chunk(b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize(
    ("kind", "mode", "tolerance"),
    [
        ("PNG", "RGBA", 1), ("PNG", "RGB", 1), ("PNG", "P", 1), ("PNG", "L", 1), ("PNG", "LA", 1),
        ("PNG", "1", 1), ("JPEG", "RGB", 6), ("JPEG", "L", 6), ("JPEG", "CMYK", 6),
        ("WEBP", "RGBA", 6), ("WEBP", "RGB", 6), ("GIF", "P", 3), ("TIFF", "RGBA", 1),
        ("TIFF", "CMYK", 1), ("BMP", "RGB", 1), ("AVIF", "RGBA", 8), ("AVIF", "RGB", 8),
    ],
)  # fmt: skip
def test_every_format_and_mode_shows_its_colour(kind: str, mode: str, tolerance: int) -> None:
    image = Image.new("RGB", (64, 32), RED[:3] if mode not in ("1", "L", "LA") else (255,) * 3)
    stored = image.convert(mode)
    pixels = decode(saved(stored, kind), 256)
    expected = np.asarray(stored.convert("RGB"))[16, 32]
    assert pixels.shape == (32, 64, 4)
    assert np.abs(pixels[16, 32, :3].astype(int) - expected).max() <= tolerance
    assert pixels[16, 32, 3] == 255


@pytest.mark.parametrize(("depth", "level"), [(1, 255), (2, 170), (4, 136), (8, 77), (16, 77)])
def test_grey_png_of_every_depth(depth: int, level: int) -> None:
    values = {1: b"\xff", 2: b"\xaa", 4: b"\x88\x88", 8: b"\x4d" * 4, 16: b"\x4d\x00" * 4}
    rows = (b"\0" + values[depth]) * 4
    assert (decode(png(4, 4, depth, 0, rows), 64)[..., :3] == level).all()


def test_grey_16_bit_keeps_its_transparent_value() -> None:
    row = b"\0" + struct.pack(">HHHH", 0x4D00, 0x4D01, 0x4D00, 0xFFFF)
    pixels = decode(png(4, 1, 16, 0, row, chunk(b"tRNS", struct.pack(">H", 0x4D00))), 64)
    assert pixels[0, :, 3].tolist() == [0, 255, 0, 255]


@pytest.mark.parametrize(
    ("depth", "row", "transparent"),
    [(1, b"\x50", 1), (2, b"\x19", 1), (4, b"\x05\x05", 5), (8, b"\0\x05\0\x05", 5)],
)
def test_a_transparent_grey_of_every_depth(depth: int, row: bytes, transparent: int) -> None:
    """Left as the file has it, it would be looked for among greys that are scaled to 8 bits."""
    key = chunk(b"tRNS", struct.pack(">H", transparent))
    alpha = decode(png(4, 1, depth, 0, b"\0" + row, key), 64)[0, :, 3]
    assert alpha.tolist() == [255, 0, 255, 0]


def test_a_transparent_colour_of_16_bits() -> None:
    key, other = struct.pack(">HHH", 0x1234, 0x5678, 0x9ABC), struct.pack(">HHH", 0xFFFF, 0, 0)
    pixels = decode(png(2, 1, 16, 2, b"\0" + key + other, chunk(b"tRNS", key)), 64)
    assert pixels[0].tolist() == [[0, 0, 0, 0], [255, 0, 0, 255]]


def test_palette_transparency_is_kept() -> None:
    data = saved(disc(RED).quantize(8), "PNG")
    pixels = decode(data, 256)
    assert pixels[0, 0, 3] == 0
    assert pixels[100, 100].tolist()[3] == 255


def test_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue")]
    data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decode(data, 64)[10, 10].tolist() == [255, 0, 0, 255]


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG"])
def test_damaged_exif_costs_no_design(kind: str) -> None:
    image = Image.new("RGB", (9, 4), "red")
    assert decode(saved(image, kind, exif=b"Exif\0\0nonsense"), 64).shape == (4, 9, 4)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])  # the latter Pillow turns by itself
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int, kind: str) -> None:
    upright = Image.new("RGB", (40, 20), "white")
    upright.paste("red", (0, 0, 20, 10))  # top left
    stored = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # how a camera turned it: Transpose values
    image = upright
    if orientation > 1:
        image = upright.transpose(Image.Transpose(stored[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(image, kind, exif=exif if kind == "TIFF" else exif.tobytes())
    pixels = decode(data, 64)
    assert pixels.shape == (20, 40, 4)
    assert pixels[5, 10, :3].tolist() == [255, 0, 0]
    assert pixels[15, 30, :3].tolist() == [255, 255, 255]


@pytest.mark.parametrize("hidden", ["#ffffff00", "#00000000", "#00ff0000"])
@pytest.mark.parametrize("size", [16, 60, 97, 199])
def test_no_fringe_from_colour_under_transparency(hidden: str, size: int) -> None:
    """Wherever anything shows, it shows the disc's own colour: nothing bleeds in, at any size."""
    pixels = decode(saved(disc(RED, hidden=hidden), "PNG"), size)
    # Two roundings of a premultiplied byte: at alpha 40 a colour is exact to 2 * 0.5 * 255 / 40.
    shown = pixels[pixels[..., 3] > 40]
    assert np.abs(shown[:, :3].astype(int) - RED[:3]).max() <= 7
    fitted = fit(pixels, 48).astype(int)
    expected = fitted[..., 3:] * np.array(RED[:3]) / 255
    assert np.abs(fitted[..., :3] - expected).max() <= 3


def test_a_large_image_is_shrunk_strip_by_strip_to_the_same_picture() -> None:
    image = disc(RED, 3000, hidden="#00ff0000")
    by_strips = decode(saved(image, "PNG"), 60).astype(int)
    at_once = np.asarray(image.convert("RGBa").resize((60, 60), Image.Resampling.BOX)).astype(int)
    assert np.abs(by_strips[..., 3] - at_once[..., 3]).max() <= 24
    assert np.abs(by_strips[..., 3] - at_once[..., 3]).mean() < 1


def test_nothing_is_cropped_and_the_shape_is_kept() -> None:
    image = Image.new("RGBA", (300, 100), RED)
    fitted = fit(decode(saved(image, "PNG"), 256), 96)
    rows, columns = np.nonzero(fitted[..., 3])
    assert (columns.min(), columns.max()) == (0, 95)
    assert (rows.min(), rows.max()) == (32, 63)


@pytest.mark.parametrize("margin", [50, 150, 400])
def test_a_wide_margin_makes_no_difference(margin: int) -> None:
    drawn = np.zeros((100, 60, 4), np.uint8)
    drawn[:, :, 3], drawn[10:90, 10:50, 0] = 255, 200
    canvas = np.pad(drawn, ((margin, 0), (0, margin), (0, 0)))
    narrow = np.pad(drawn, ((9, 9), (9, 9), (0, 0)))
    assert np.array_equal(fit(canvas, 64), fit(narrow, 64))
    assert not np.array_equal(fit(canvas, 64, trim=False), fit(narrow, 64, trim=False))


def test_a_narrow_margin_an_opaque_design_and_a_faint_one_stay_as_they_are() -> None:
    drawn = np.full((70, 20, 4), 255, np.uint8)
    narrow, wide = (np.pad(drawn, ((m, m), (m, m), (0, 0))) for m in (15, 16))
    assert trimmed(narrow) is narrow
    assert trimmed(wide).shape == (82, 32, 4)
    opaque, faint = (np.full((50, 50, 4), level, np.uint8) for level in (255, 5))
    assert trimmed(opaque) is opaque
    assert trimmed(faint) is faint


def test_black_and_white_stamps_and_their_shapes_survive() -> None:
    """Lost without alpha: three designs that differ in colour under alpha, or in shape only."""
    black, white = disc((0, 0, 0, 255)), disc((255, 255, 255, 255))
    ring = disc((0, 0, 0, 255))
    ImageDraw.Draw(ring).ellipse((80, 80, 120, 120), (0, 0, 0, 0))
    inputs = [
        fit(decode(saved(image, "PNG"), 256), 96).astype(int) for image in (black, white, ring)
    ]
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert np.abs(inputs[first] - inputs[second]).max() == 255
    assert (inputs[0][48, 48] == [0, 0, 0, 255]).all()
    assert (inputs[1][48, 48] == [255, 255, 255, 255]).all()
    assert (inputs[2][48, 48] == 0).all()


def test_packing_then_fitting_equals_fitting_the_file() -> None:
    data = saved(disc((10, 200, 90, 128), 700, hidden="#ff00ff00"), "PNG")
    pixels = decode(data, 256)
    assert (fit(decode(encode_png(pixels), 256), 96) == fit(pixels, 96)).all()


def test_flattened_jpeg_shows_the_background() -> None:
    pixels = decode(encode_jpeg(decode(saved(disc(RED), "PNG"), 200), (255, 255, 255)), 200)
    assert pixels[2, 2].tolist() == [255, 255, 255, 255]
    assert np.abs(pixels[100, 100, :3].astype(int) - RED[:3]).max() <= 6


def reason(data: bytes, **options: float) -> str:
    with pytest.raises(ImageError) as caught:
        decode(data, 64, **options)
    assert "\n" not in str(caught.value)
    return caught.value.reason


def test_unreadable_files_are_rejected_with_a_reason() -> None:
    whole = saved(disc(RED), "PNG")
    assert reason(b"") == "empty"
    assert reason(b"this is no image") == "unreadable"
    assert reason(b"%PDF-1.4 not ours") == "unreadable"
    assert reason(whole[: len(whole) // 2]) == "truncated"
    assert reason(whole[:20]) == "truncated"
    assert reason(saved(disc(RED).convert("RGB"), "JPEG")[:900]) == "truncated"
    assert reason(saved(disc((0, 0, 0, 0)), "PNG")) == "blank"
    assert reason(saved(Image.new("F", (4, 4)), "TIFF")) == "unreadable"


def test_a_flipped_bit_in_png_pixels_is_noticed_but_one_in_a_comment_is_not() -> None:
    whole = bytearray(png(4, 4, 8, 0, b"\0\1\2\3\4" * 4, chunk(b"tEXt", b"Title\0a cat")))
    damaged = bytearray(whole)
    damaged[damaged.index(b"IDAT") + 8] ^= 4
    assert reason(bytes(damaged)) == "corrupt"
    whole[whole.index(b"a cat")] ^= 4
    assert decode(bytes(whole), 64).shape == (4, 4, 4)


def test_the_pixel_budget_holds_before_anything_is_decoded() -> None:
    huge = png(60000, 60000, 8, 6, b"")
    assert reason(huge) == "too-large"
    assert reason(saved(Image.new("L", (1100, 1000)), "PNG"), max_megapixels=1.0) == "too-large"
    assert reason(saved(Image.new("L", (1100, 1000)), "BMP"), max_megapixels=1.0) == "too-large"


SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" {}>{}</svg>'
)


def drawn(body: str, head: str = 'viewBox="0 0 10 10"', size: int = 64) -> np.ndarray:
    return decode(SVG.format(head, body).encode(), size)


def test_svg_is_rendered_at_full_size_with_transparency() -> None:
    pixels = drawn('<rect x="5" width="5" height="10" fill="#c81e28"/>')
    assert pixels.shape == (64, 64, 4)
    assert pixels[32, 16, 3] == 0
    assert pixels[32, 48].tolist() == [200, 30, 40, 255]
    assert drawn('<rect width="9" height="9"/>', 'width="30mm" height="30mm"').shape == (64, 64, 4)


def test_svg_without_namespace_in_utf16_and_gzipped() -> None:
    import gzip

    plain = '<svg width="10" height="10"><rect width="10" height="10" fill="red"/></svg>'
    for data in (plain.encode(), plain.encode("utf-16"), gzip.compress(plain.encode())):
        assert decode(data, 32)[16, 16].tolist() == [255, 0, 0, 255]


def test_svg_reads_no_file_and_runs_no_script(tmp_path) -> None:
    secret = tmp_path / "secret.png"
    Image.new("RGB", (10, 10), "red").save(secret)
    body = '<rect width="1" height="1"/>'
    for reference in (str(secret), f"file://{secret}", "http://127.0.0.1:9/x.png"):
        for name in ("href", "xlink:href"):
            shown = drawn(body + f'<image {name}="{reference}" width="10" height="10"/>')
            assert shown[48, 48, 3] == 0
    entity = (
        f"<!DOCTYPE svg [<!ENTITY x \"&#60;image href='{secret}' width='10' height='10'/>\">]>"
        + SVG.format('viewBox="0 0 10 10"', body + "&x;")
    )
    assert decode(entity.encode(), 64)[48, 48, 3] == 0
    shown = drawn(body + "<script>document.documentElement.remove()</script>")
    assert shown[2, 2, 3] == 255


def test_hostile_svg_is_rejected_quickly() -> None:
    laughs = '<!DOCTYPE svg [<!ENTITY a "ha">' + "".join(
        f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 20}">' for n in range(8)
    )
    assert reason((laughs + "]><svg><text>&i;</text></svg>").encode()) == "unreadable"
    external = '<!DOCTYPE svg [<!ENTITY a SYSTEM "file:///etc/passwd">]><svg><text>&a;</text></svg>'
    assert reason(external.encode()) == "hostile"
    uses = '<g id="a0"><rect width="1" height="1"/></g>' + "".join(
        f'<g id="a{n + 1}"><use href="#a{n}"/><use href="#a{n}"/></g>' for n in range(40)
    )
    assert reason(SVG.format('viewBox="0 0 10 10"', uses).encode()) == "too-complex"
    assert reason(b"<svg" + b"<g>" * 100_000) == "unreadable"
    assert reason(SVG.format('width="0" height="1"', "<rect/>").encode()) == "unreadable"
    assert reason(b"<svg><rect></svg>") == "unreadable"
    deep = "<g>" * 3000 + "</g>" * 3000
    assert reason(SVG.format('viewBox="0 0 10 10"', deep).encode()) == "too-complex"


def test_svg_that_would_take_all_stack_or_time_is_bounded() -> None:
    deep = "<g>" * 400 + '<rect width="9" height="9"/>' + "</g>" * 400
    assert reason(SVG.format('viewBox="0 0 10 10"', deep).encode()) == "too-complex"
    noise = (
        '<filter id="f"><feTurbulence baseFrequency="0.05" numOctaves="2000000"/></filter>'
        '<rect width="10" height="10" filter="url(#f)"/>'
    )
    began = time.process_time()
    few, *many = (
        drawn(noise.replace("2000000", n)) for n in ("16", "2000000", "+2e6", " 2000000.0")
    )
    assert time.process_time() - began < 10
    assert all((few == one).all() for one in many)


def test_svg_embedded_image_is_shown_within_the_budget() -> None:
    import base64

    def embedded(width: int) -> str:
        picture = saved(Image.new("L", (width, 1000), 128), "PNG")
        uri = "data:image/png;base64," + base64.b64encode(picture).decode()
        return f'<image href="{uri}" width="10" height="10" preserveAspectRatio="none"/>'

    assert drawn(embedded(100))[32, 32, :3].tolist() == [128, 128, 128]
    data = SVG.format('viewBox="0 0 10 10"', embedded(1100)).encode()
    assert reason(data, max_megapixels=1.0) == "too-large"


@pytest.mark.parametrize(
    ("sides", "shape"),
    [
        ('width="1.5" height="1" viewBox="0 0 150 100"', (171, 256)),
        ('width="1.5" height="1"', (171, 256)),
        ('viewBox="0 0 1.5 1"', (171, 256)),
        ('width="100%" height="100%" viewBox="0 0 1.5 1"', (171, 256)),
        ('width="0.1in" height="0.2in" viewBox="0 0 10 20"', (256, 128)),
        ('width="3" height="2"', (171, 256)),
        ('width="10cm" viewBox="0 0 40 20"', (128, 256)),
        ('height="1.5" viewBox="0 0 40 20"', (128, 256)),
        ('width="40mm" height="auto" viewBox="0 0 40 20"', (128, 256)),
        ('width="22.5" height="100%" viewBox="0 0 40 20"', (128, 256)),
        ('width=" 40Q " height="20q" viewBox="0 0 40 20"', (128, 256)),
        ('width="1.5em" height="12px" viewBox="0 0 40 20"', (128, 256)),
        ('width="2rem" height="1em" style="font-size:40px" viewBox="0 0 40 20"', (128, 256)),
        # In an <img>, the sides of CSS are those of the image, which follow the viewBox.
        ('style="width:10cm" viewBox="0 0 40 20"', (128, 256)),
        ('style="width:80px;height:20px" viewBox="0 0 40 20"', (128, 256)),
        ('width="40" height="20" style="width:80px;height:80px" viewBox="0 0 4 2"', (128, 256)),
        ('style="width:80px;height:40px"', (128, 256)),
    ],
)
def test_svg_whose_sides_are_no_whole_pixels_is_whole(sides: str, shape: tuple[int, int]) -> None:
    """The renderer rounds a drawing's own sides before it scales them."""
    body = '<rect width="100%" height="100%" fill="red"/>'
    pixels = decode(f'<svg xmlns="http://www.w3.org/2000/svg" {sides}>{body}</svg>'.encode(), 256)
    assert pixels.shape == (*shape, 4)
    assert (pixels[1:-1, 1:-1] == (255, 0, 0, 255)).all()


@pytest.mark.parametrize("sides", ['width="1.5em" height="1.5"', 'viewBox="0 0 x 1.5"', ""])
def test_svg_without_plain_sides_is_left_to_the_renderer(sides: str) -> None:
    body = '<rect width="1" height="1" fill="red"/>'
    data = f'<svg xmlns="http://www.w3.org/2000/svg" {sides}>{body}</svg>'.encode()
    assert (decode(data, 64)[0, 0] == (255, 0, 0, 255)).all()


def test_an_avif_that_speaks_of_svg_in_its_metadata_is_an_avif() -> None:
    image = Image.new("RGB", (8, 4), "red")
    assert decode(saved(image, "AVIF", xmp=b'<x:xmpmeta><svg x="1"/></x:xmpmeta>'), 64).shape == (
        4, 8, 4,
    )  # fmt: skip


def test_a_png_that_speaks_of_svg_in_its_metadata_is_a_png() -> None:
    data = png(4, 4, 8, 0, b"\0\1\2\3\4" * 4, chunk(b"tEXt", b"XML\0<svg >"))
    assert decode(data, 64).shape == (4, 4, 4)
