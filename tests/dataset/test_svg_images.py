"""Images embedded in SVG: drawn whatever their address says they are; nothing outside is read."""

import base64
import io
from pathlib import Path
from urllib.parse import quote

import pytest
from PIL import Image

from hangtag.dataset.images import decode
from hangtag.dataset.svg import images as svg_images
from hangtag.errors import ImageError

RED = (255, 0, 0)
TOP = (
    '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    ' width="64" height="64" viewBox="0 0 10 10">'
)
DRAWING = TOP + "<style>.a{fill:rgb(255 0 0)}</style><path class='a' d='M0 0h10v10H0z'/></svg>"


def saved(kind: str, mode: str = "RGB", colour: object = "red", **options: object) -> bytes:
    file = io.BytesIO()
    Image.new(mode, (16, 16), colour).save(file, kind, **options)
    return file.getvalue()


def address(data: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def image(reference: str, more: str = "") -> str:
    return f'<image width="10" height="10" {more} href="{reference}"/>'


def corner(body: str) -> tuple[int, ...]:
    """Return the colour at (7.5, 5) of a drawing with a green mark at (0, 0)."""
    pixels = decode(f'{TOP}{body}<path d="M0 0h1v1H0z" fill="lime"/></svg>'.encode(), 40)
    return tuple(int(value) for value in pixels[20, 30])


def is_red(colour: tuple[int, ...]) -> bool:
    return colour[3] == 255 and all(abs(a - b) < 6 for a, b in zip(colour, RED, strict=False))


PNG = saved("PNG")


@pytest.mark.parametrize(
    "reference",
    [
        pytest.param(address(saved(kind, **options)), id=kind + str(options))
        for kind, options in (
            ("PNG", {}),
            ("PNG", {"mode": "RGBA"}),
            ("JPEG", {"quality": 95}),
            ("JPEG", {"mode": "CMYK", "colour": (0, 255, 255, 0), "quality": 95}),
            ("GIF", {}),
            ("WEBP", {"lossless": True}),
            ("AVIF", {}),
            ("BMP", {}),
        )
    ]
    + [
        address(PNG, "image/jpeg"),
        address(PNG, "image/svg+xml"),
        address(PNG, "application/octet-stream"),
        address(PNG, ""),
        address(PNG, "image/png;charset=utf-8"),
        address(saved("JPEG", quality=95), "image/png"),
        address(PNG).rstrip("="),
        address(PNG).replace("+", "-").replace("/", "_").replace("image_png", "image/png"),
        address(PNG).replace("data:image/png;base64", "DATA:IMAGE/PNG;BASE64"),
        address(PNG).replace(";base64", "; base64 "),
        "\n  " + address(PNG)[:40] + "\n   \t" + address(PNG)[40:] + "\n",
        address(PNG)[:22] + quote(address(PNG)[22:], safe=""),
        address(PNG) + "#fragment",
        "data:image/png," + quote(PNG),
        address(DRAWING.encode(), "image/svg+xml"),
        address(DRAWING.encode(), "text/plain"),
        address(DRAWING.encode("utf-16"), "image/svg+xml"),
        address(DRAWING.encode(), "image/svg+xml") + "#layer1",
        "data:image/svg+xml," + quote(DRAWING),
        "data:image/svg+xml;utf8," + quote(DRAWING.replace("rgb(255 0 0)", "#f00"), safe="#<>"),
        address((TOP + image(address(PNG)) + "</svg>").encode(), "image/svg+xml"),
        address(
            (TOP + image(address(DRAWING.encode(), "image/svg+xml")) + "</svg>").encode(),
            "image/svg+xml",
        ),
    ],
)
def test_an_embedded_image_is_drawn(reference: str) -> None:
    reference = reference.replace("<", "&lt;").replace('"', "&quot;")
    assert is_red(corner(image(reference)))
    assert is_red(corner(image(reference).replace("href", "xlink:href")))


@pytest.mark.parametrize(
    "reference",
    [
        address(saved("TIFF"), "image/tiff"),  # no browser shows TIFF
        address(b"no image"),
        address(PNG[:60]),
        "data:image/png;base64,",
        "data:image/png",
        "https://example.com/a.png",
        "other.svg#a",
    ],
)
def test_what_a_browser_leaves_out_is_left_out(reference: str) -> None:
    assert corner(image(reference)) == (0, 0, 0, 0)


def test_no_file_is_read_from_a_drawing_in_a_drawing(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(PNG)
    for inner in (image((tmp_path / "secret.png").as_uri()), image(str(tmp_path / "secret.png"))):
        assert corner(image(address(f"{TOP}{inner}</svg>".encode(), "image/svg+xml")))[3] == 0


def test_a_photograph_is_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    picture = Image.new("RGB", (16, 16), "red")
    picture.paste("blue", (8, 0, 16, 16))
    file = io.BytesIO()
    picture.save(file, "JPEG", exif=exif.tobytes(), quality=95)
    assert is_red(corner(image(address(file.getvalue(), "image/jpeg"))))


def test_images_in_patterns_and_filters() -> None:
    bmp = address(saved("BMP"), "image/bmp")
    pattern = f'<pattern id="p" width="1" height="1">{image(bmp)}</pattern>'
    assert is_red(corner(f'{pattern}<rect width="10" height="10" fill="url(#p)"/>'))
    effect = f'<filter id="f" x="0" y="0" width="1" height="1"><feImage href="{bmp}"/></filter>'
    assert is_red(corner(f'{effect}<rect width="10" height="10" filter="url(#f)"/>'))


def test_a_drawing_without_sides_fills_the_image_by_its_own_ratio() -> None:
    inner = DRAWING.replace('width="64" height="64"', 'preserveAspectRatio="none"')
    reference = address(inner.encode(), "image/svg+xml")
    wide = f'<image y="4" width="10" height="2" href="{reference}"/>'
    assert is_red(corner(wide))


def test_drawings_in_drawings_end() -> None:
    inner = DRAWING
    for _ in range(svg_images.MAX_NESTING + 1):
        inner = f"{TOP}{image(address(inner.encode(), 'image/svg+xml'))}</svg>"
    assert corner(image(address(inner.encode(), "image/svg+xml")))[3] == 0


def test_the_budget_holds_for_all_images_together() -> None:
    def data(count: int) -> bytes:
        pictures = (saved("PNG", colour=(255, number, 0)) for number in range(count))
        return f"{TOP}{''.join(image(address(picture)) for picture in pictures)}</svg>".encode()

    assert decode(data(3), 40, max_megapixels=0.0008).any()
    with pytest.raises(ImageError, match="embeds") as caught:
        decode(data(4), 40, max_megapixels=0.0008)
    assert caught.value.reason == "too-large"


@pytest.mark.parametrize(
    ("inner", "reason"),
    [
        (
            '<!DOCTYPE svg [<!ENTITY a SYSTEM "file:///etc/passwd">]><svg><text>&a;</text></svg>',
            "hostile",
        ),
        (
            TOP
            + "".join(
                f'<g id="g{n}"><use href="#g{n + 1}"/><use href="#g{n + 1}"/></g>'
                for n in range(20)
            )
            + "<path id='g20'/></svg>",
            "too-complex",
        ),
    ],
)
def test_a_hostile_drawing_in_a_drawing(inner: str, reason: str) -> None:
    with pytest.raises(ImageError) as caught:
        corner(image(address(inner.encode(), "image/svg+xml")))
    assert caught.value.reason == reason
