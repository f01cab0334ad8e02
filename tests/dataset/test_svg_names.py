"""References and lengths of SVG in every notation (checked with Chromium)."""

import pytest

from hangtag.dataset.images import decode

RED = (255, 0, 0, 255)
NAMESPACES = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
TARGETS = {
    "fill": '<linearGradient id="{}"><stop stop-color="red"/></linearGradient>',
    "clip-path": '<clipPath id="{}"><rect width="5" height="10"/></clipPath>',
    "mask": '<mask id="{}"><rect width="5" height="10" fill="#fff"/></mask>',
    "filter": '<filter id="{}"><feFlood flood-color="red"/></filter>',
}


def colour(body: str, x: float = 2.5, y: float = 2.5) -> tuple[int, ...]:
    """Return the RGBA value at a point of a 10 x 10 drawing; zeros where nothing is drawn."""
    mark = '<path d="M9.5 9.5h1v1h-1z"/>'  # a drawing without its shape is no error
    data = f'<svg {NAMESPACES} width="64" height="64" viewBox="0 0 10 10">{body}{mark}</svg>'
    return tuple(int(value) for value in decode(data.encode(), 40)[int(y * 4), int(x * 4)])


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("a b", "url('#a b')"),
        ("a b", 'url("#a b")'),
        ("a b", "url(#a%20b)"),
        ("a(b)", "url('#a(b)')"),
        ("g é", 'url("#g é")'),
        ("g x", r"url(#g\20 x)"),
        ("a'b", 'url("#a\'b")'),
        ("Dégradé", "url(#D%C3%A9grad%C3%A9)"),
        ("é", "url(#%E9)"),
        ("a:b", "url(#a:b)"),
        ("a", "url('#a')"),
    ],
)
def test_a_property_refers_to_any_name(name: str, reference: str) -> None:
    for value, target in TARGETS.items():
        definition = target.format(name)
        fill = "" if value == "fill" else "fill:red;"
        attribute = f"{value}:{reference}".replace('"', "&quot;")
        for shape in (
            f'<rect width="10" height="10" style="{fill}{attribute}"/>',
            f'<style>rect.a{{{fill}{value}:{reference}}}</style><rect class="a" width="10" '
            'height="10"/>',
        ):
            assert colour(definition + shape) == RED
            cut = value in ("clip-path", "mask")
            assert colour(definition + shape, x=7.5) == ((0, 0, 0, 0) if cut else RED)


@pytest.mark.parametrize(
    ("name", "reference"),
    [("a b", "#a b"), ("a b", "#a%20b"), ("é", "#%C3%A9"), ("a(b)", "#a(b)"), ("a", "#a")],
)
def test_an_address_refers_to_any_name(name: str, reference: str) -> None:
    rect = f'<defs><rect id="{name}" width="10" height="10" fill="red"/></defs>'
    stops = TARGETS["fill"].format(name)
    for attribute in ("href", "xlink:href"):
        address = f'{attribute}="{reference}"'
        assert colour(f"{rect}<use {address}/>") == RED
        gradient = f'{stops}<linearGradient id="q" {address}/>'
        assert colour(f'{gradient}<rect width="10" height="10" fill="url(#q)"/>') == RED


def test_a_selector_finds_a_name_with_a_blank() -> None:
    css = "<style>#a\\ b{fill:red}</style>"
    assert (
        colour(css + '<rect id="a b" width="1" height="1"/><use href="#a b" x="2" y="2"/>') == RED
    )


@pytest.mark.parametrize(
    "shape",
    [
        '<rect width="10 " height=" 10 " fill="red"/>',
        '<rect width="10" height="10&#10;" fill=" red "/>',
        '<circle cx="5 " cy="&#9;5" r="5 " fill="red"/>',
        '<line y1=" 2.5 " y2="2.5 " x2="10 " stroke="red" stroke-width="2 "/>',
    ],
)
def test_blanks_around_a_value(shape: str) -> None:
    assert colour(shape) == RED


def test_blanks_around_the_type_of_a_style_sheet() -> None:
    shape = '<rect width="10" height="10" fill="red"/>'
    assert colour(f'<style type=" text/css ">rect{{fill:blue}}</style>{shape}') == RED
    assert colour(f'<style type="TEXT/CSS">rect{{fill:red}}</style>{shape}') == RED
