"""CSS in SVG: each drawing is red where a current browser draws it red (checked with Chromium)."""

import pytest

from hangtag.dataset.images import decode
from hangtag.errors import ImageError

RED = (255, 0, 0, 255)
RECT = '<rect width="10" height="10" {}/>'


def document(body: str) -> bytes:
    head = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return f'<svg {head} width="64" height="64" viewBox="0 0 10 10">{body}</svg>'.encode()


def colour(body: str, x: float = 5, y: float = 5) -> tuple[int, ...]:
    """Return the RGBA value at a point of a 10 x 10 drawing; zeros where nothing is drawn."""
    # A corner that never is empty, so that a drawing without its shape is no error.
    pixels = decode(document(body + '<path d="M9.5 9.5h1v1h-1z"/>'), 40)
    return tuple(int(value) for value in pixels[int(y * 4), int(x * 4)])


def sheet(css: str, rect: str = 'class="a"') -> str:
    return f"<style>{css}</style>{RECT.format(rect)}"


@pytest.mark.parametrize(
    "css",
    [
        "fill:blue;fill:red",
        "fill:red;fill:foo",
        "fill:red;fill:rgb(1 2)",
        "fill:red;fill:color(foo 1 2 3)",
        "fill:red;fill:#12345",
        "fill:red;fill:",
        "fill:red;fill:red icc-color(a, 1, 2)",
        "FILL:RED",
        "fill:red;fill:color(display-p3 1 0 0)",
        "fill:rgb(255 0 0 / 100%)",
        "fill:rgba(255,0,0,100%)",
        "fill:rgb(100% 0 0)",
        "fill:rgb(255 none 0)",
        "fill:rgb(300, -5, 0)",
        "fill:rgb(calc(200 + 55) 0 0)",
        "fill:hsl(0deg 100% 50%)",
        "fill:hsl(1turn 100% 50%)",
        "fill:hsl(400grad, 100%, 50%)",
        "fill:hsla(0rad 100 50 / 1)",
        "fill:hsl(0, 200%, 50%)",
        "fill:hwb(0 0% 0%)",
        "fill:lab(54.29% 80.81 69.89)",
        "fill:lch(54.29% 106.84 40.86)",
        "fill:oklab(62.8% 0.2249 0.1258)",
        "fill:oklch(62.8% 0.2577 29.23deg)",
        "fill:color(srgb 1 0 0)",
        "fill:color(srgb-linear 100% 0% 0%)",
        "fill:color(a98-rgb 1 0 0)",
        "fill:color(prophoto-rgb 1 0 0)",
        "fill:color(rec2020 1 0 0)",
        "fill:color(xyz 0.4124 0.2126 0.0193)",
        "fill:color(xyz-d50 0.4361 0.2225 0.0139)",
        "fill:color-mix(in srgb, red, red)",
        "fill:color-mix(in oklch, red 100%, blue)",
        "color:red;fill:color-mix(in srgb, currentcolor 100%, blue)",
        "fill:light-dark(red, blue)",
        "fill:rgb(from #f00 r g b)",
        "fill:oklch(from red l c h)",
        "fill:ActiveText",
        "fill:#f00f",
        "color:red;fill:CurrentColor",
        "fill:url(#missing) red",
        "fill:url(&quot;#missing&quot;) red",
        "fill:url(other.svg#a) red",
        "fill:red;stroke-width:9;stroke:none",
        "fill:red!important;fill:blue",
        "/* fill:blue */fill/**/:/**/red",
        "fill:red;*fill:blue;_fill:blue",
        "fill:env(none, red)",
    ],
)
def test_a_declaration_gives_what_a_browser_shows(css: str) -> None:
    found = colour(RECT.format(f'style="{css}"'))
    assert max(abs(a - b) for a, b in zip(found, RED, strict=True)) <= 2


@pytest.mark.parametrize(
    ("css", "expected"),
    [
        ("fill:rgb(255 0 0 / 50%)", (255, 0, 0, 128)),
        ("fill:rgb(255, 0, 0, .5)", (255, 0, 0, 128)),
        ("fill:#ff000080", (255, 0, 0, 128)),
        ("fill:color(display-p3 1 0 0 / 0.5)", (255, 0, 0, 128)),
        ("fill:color-mix(in srgb, red 50%, transparent)", (255, 0, 0, 128)),
        ("color:rgb(255 0 0 / 50%);fill:currentColor", (255, 0, 0, 128)),
        ("fill:red;opacity:50%", (255, 0, 0, 128)),
        ("fill:red;fill-opacity:calc(1 / 2)", (255, 0, 0, 128)),
        ("fill:red;opacity:7", RED),
        ("fill:RebeccaPurple", (102, 51, 153, 255)),
        ("fill:color-mix(in srgb, red, blue)", (128, 0, 128, 255)),
        ("fill:red;display:none", (0, 0, 0, 0)),
        ("fill:red;visibility:collapse", (0, 0, 0, 0)),
        ("fill:url(#missing)", (0, 0, 0, 0)),
        ("fill:transparent", (0, 0, 0, 0)),
    ],
)
def test_alpha_and_mixtures(css: str, expected: tuple[int, ...]) -> None:
    found = colour(RECT.format(f'style="{css}"'))
    assert max(abs(a - b) for a, b in zip(found, expected, strict=True)) <= 1


@pytest.mark.parametrize(
    "body",
    [
        RECT.format('fill="var(--fill-0, red)"'),
        RECT.format('fill="var( --a , var(--b, red) )"'),
        RECT.format('style="--c:red;fill:var(--c)"'),
        RECT.format('style="--c:red;fill:VAR(--c)"'),
        RECT.format('style="--a:var(--b);--b:var(--c);--c:red;fill:var(--a)"'),
        RECT.format('style="--rgb:255,0,0;fill:rgb(var(--rgb))"'),
        RECT.format('style="--h:0;fill:hsl(var(--h) 100% 50%)"'),
        RECT.format('style="--C:blue;--c:red;fill:var(--c)"'),
        RECT.format('style="--c:blue;--c:initial;fill:var(--c,red)"'),
        RECT.format('style="--a:var(--b);--b:var(--a);fill:var(--a,red)"'),
        '<g fill="red">' + RECT.format('style="fill:blue;fill:var(--none)"') + "</g>",
        '<g style="--c:red">' + RECT.format('fill="var(--c)"') + "</g>",
        '<g fill="red" style="--c:red"><g style="--c:initial">'
        + RECT.format('fill="var(--c)"')
        + "</g></g>",
        sheet(":root{--c:red}.a{fill:var(--c)}"),
        sheet(":root{--c:blue}.a{--c:red;fill:var(--c)}"),
        sheet(":root{--é:red}.a{fill:var(--é)}"),
        sheet("@property --c{syntax:'*';inherits:true;initial-value:red}.a{fill:var(--c)}"),
        '<linearGradient id="g"><stop stop-color="var(--a,red)"/></linearGradient>'
        + RECT.format('fill="url(#g)"'),
        '<path d="M0 5h10" stroke="var(--s, red)" stroke-width="var(--w, 8)"/>',
        '<symbol id="s">'
        + RECT.format('fill="var(--c, blue)"')
        + '</symbol><use href="#s" style="--c:red"/>',
        '<symbol id="i">'
        + RECT.format('style="fill:var(--c, blue)"')
        + '</symbol><g id="o"><use href="#i"/></g><use xlink:href="#o" style="--c:red"/>',
    ],
)
def test_custom_properties(body: str) -> None:
    assert colour(body) == RED


def test_values_that_double_each_other_end() -> None:
    doubled = "".join(f"--v{n}:var(--v{n + 1}) var(--v{n + 1});" for n in range(40))
    assert colour(RECT.format(f'style="{doubled}--v40:1;fill:red;stroke:var(--v0)"')) == RED


@pytest.mark.parametrize(
    "css",
    [
        ".a{fill:red!important}#b{fill:blue}",
        ".a{fill:blue}.a{fill:red}",
        "#b{fill:red}.a{fill:blue}",
        ":where(#b){fill:blue}rect{fill:red}",
        ":is(.a,#none){fill:red}.a{fill:blue}",
        "rect:not(.b){fill:red}",
        "rect:nth-child(2){fill:red}",
        ":root>rect{fill:red}",
        "style+rect{fill:red}",
        "svg:has(rect) .a{fill:red}",
        '[data-x="ABC" i]{fill:red}',
        "[data-x^=a]{fill:red}",
        ".a{fill:red}.a,..b{fill:blue}",
        ".a{fill:red}.a:hover,.a::before{fill:blue}",
        r".\31 23{fill:red}",
        ".日本{fill:red}",
        ".A{fill:blue}.a{fill:red}",
        "RECT{fill:blue}rect{fill:red}",
        "@media screen{.a{fill:red}}",
        "@media only screen and (min-width:1px){.a{fill:red}}",
        "@media print,(prefers-color-scheme:light){.a{fill:red}}",
        "@media not print{@media (1px &lt;= width &lt; 65px){.a{fill:red}}}",
        ".a{fill:red}@media print{.a{fill:blue}}",
        ".a{fill:red}@media (prefers-color-scheme:dark){.a{fill:blue}}",
        ".a{fill:red}@media not (unknown){.a{fill:blue}}",
        "@supports (fill:color(display-p3 1 0 0)) and (not (fill:foo)){.a{fill:red}}",
        ".a{fill:red}@supports (fill:foo){.a{fill:blue}}",
        "@supports (fill:red) and (not (foo:bar)){.a{fill:red}}",
        "@supports (grid-template-columns:1fr) and (not (-moz-appearance:none)){.a{fill:red}}",
        ".a{fill:red}@supports (text-foo:1px) or (foo:bar){.a{fill:blue}}",
        "@layer x{#b{fill:blue}}.a{fill:red}",
        "@layer x,y;@layer y{.a{fill:red}}@layer x{#b{fill:blue}}",
        "@layer x{.a{fill:red!important}}#b{fill:blue!important}",
        ".a{fill:red}@container (min-width:1px){.a{fill:blue}}",
        "@import url(none.css);@charset 'x';@font-face{src:url(x)}@page{margin:0}.a{fill:red}",
        "@keyframes k{from{fill:blue}}.a{fill:red}@unknown x;@unknown{.a{fill:blue}}",
        "@namespace s url(http://www.w3.org/2000/svg);s|rect{fill:red}",
        "@namespace h 'http://www.w3.org/1999/xhtml';.a{fill:red}h|rect{fill:blue}",
        "svg{.a{fill:red}}",
        "rect{&amp;.a{fill:red}}",
        "svg{> rect{fill:red}}",
        ".a{@media screen{fill:red}}",
        ".a{fill:blue;&amp;{fill:red}}",
        "&lt;!-- .a{fill:red} --&gt;",
        ".a{;;fill:red;;}",
        ".a{fill:red",
        ".a{fill:red;fill:;foo}",
    ],
)
def test_style_sheets(css: str) -> None:
    assert colour(sheet(css, 'class="a 123 日本" id="b" data-x="abc"')) == RED


@pytest.mark.parametrize(
    ("head", "applies"),
    [
        ("", True),
        ('type=""', True),
        ('type="text/css"', True),
        ('type="TEXT/CSS"', True),
        ('type="text/less"', False),
        ('type="text/css; charset=utf-8"', False),
        ('media="screen"', True),
        ('media="print"', False),
        ('xmlns="http://www.w3.org/1999/xhtml"', True),
    ],
)
def test_which_style_elements_count(head: str, applies: bool) -> None:
    style = f"<style {head}><![CDATA[svg > rect{{fill:red}}]]></style>"
    assert colour(RECT.format('fill="lime"') + style) == (RED if applies else (0, 255, 0, 255))


@pytest.mark.parametrize(
    "body",
    [
        '<g fill="red">' + sheet(".a{fill:unset}", 'class="a" fill="blue"') + "</g>",
        '<g fill="red">' + sheet(".a{fill:inherit}", 'class="a" fill="blue"') + "</g>",
        '<g fill="red">' + RECT.format('fill="foo"') + "</g>",
        '<g fill="red">' + RECT.format('fill="blue !important"') + "</g>",
        '<g style="color:red">' + RECT.format('fill="currentColor"') + "</g>",
        RECT.format('fill="  RED  "'),
        sheet("rect{fill:red}", 'fill="blue"'),
        sheet(".a{fill:blue!important}", 'class="a" style="fill:red!important"'),
        '<g filter="url(#none)">' + RECT.format('fill="red"') + "</g>",
        RECT.format('id="w" fill="red" style="filter:url(#w);mask:url(#w);clip-path:url(#w)"'),
        RECT.format('id="w" fill="url(#w) red"'),
        RECT.format('fill="red" mask="url(#none)" clip-path="url(#none)"'),
        '<switch><rect width="10" height="10" systemLanguage="de, en" fill="red"/>'
        + RECT.format("")
        + "</switch>",
        '<a href="https://example.com">' + RECT.format('fill="red"') + "</a>",
        "<style>@import 'data:text/css,.a%7Bfill:red%7D';</style>" + RECT.format('class="a"'),
    ],
)
def test_inheritance_and_references_to_nothing(body: str) -> None:
    assert colour(body) == RED


@pytest.mark.parametrize(
    "body",
    [
        "<style>.a{r:5px;cx:5px;cy:5px}</style><circle class='a' fill='red' r='1'/>",
        "<style>.a{r:5;cx:5;cy:5}</style><circle class='a' fill='red'/>",
        "<circle style='r:calc(60% - 1px);cx:50%;cy:calc(10px / 2)' fill='red'/>",
        "<circle style='r:min(9px, 50%);cx:clamp(1px, 5px, 9px);cy:max(10%, 5px)' fill='red'/>",
        "<g font-size='1'><rect width='6ch' height='12ch' x='1em' fill='red'/></g>"
        "<rect y='4' x='3' width='4' height='4' fill='red'/>",
        "<ellipse style='rx:5px;ry:4px;cx:5px;cy:5px' fill='red'/>",
        "<rect style='x:2px;y:2px;width:6px;height:6px' fill='red'/>",
        "<rect style='width:1mm;height:1mm;width:2mm;height:2mm' fill='red'/>",
        "<style>rect{width:1;font-size:1}</style><rect width='6' height='6' fill='red'/>",
        "<rect style='width:6' width='1' height='6' fill='red'/>",
        "<rect style='width:-1px' width='6' height='6' fill='red'/>",
        "<rect width='calc(50% + 1px)' height='.5rem' fill='red'/>",
        "<path style='d:path(\"M0 0H10V10H0Z\")' fill='red'/>",
        "<rect width='2' height='2' style='transform:translate(4px,40%)' fill='red'/>",
        "<rect width='2' height='2' style='transform:translateX(4px) translateY(40%)' fill='red'/>",
        "<rect width='2' height='2' style='translate:4px 4px' fill='red'/>",
        "<rect width='2' height='2' style='scale:4' fill='red'/>",
        "<rect x='4' width='2' height='3' style='transform:rotate(.5turn);transform-origin:center'"
        " fill='blue'/><rect x='4' y='4' width='2' height='2' fill='red'/>",
        "<rect y='-10' x='4' width='2' height='10'"
        " style='transform:rotate(180deg);transform-box:fill-box;transform-origin:50% 100%'"
        " fill='red'/>",
        "<path d='M0 0h4v4h-4z' style='transform:scale(3);transform-box:fill-box' fill='red'/>",
        "<rect width='9' height='9' style='transform:none' transform='scale(.1)' fill='red'/>",
        "<rect width='2' height='2' style='rotate:9deg;rotate:none;translate:4px 4px' fill='red'/>",
    ],
)
def test_geometry_and_transforms_in_css(body: str) -> None:
    assert colour(body) == RED


@pytest.mark.parametrize(
    ("shape", "inside", "outside"),
    [
        ("circle(3px at 5px 5px)", (5, 5), (1, 5)),
        ("circle()", (5, 1), (1, 1)),
        ("circle(farthest-side at 0 0)", (1, 1), (9, 8)),
        ("ellipse(20% 50%)", (5, 1), (1, 5)),
        ("inset(2px)", (5, 5), (1, 5)),
        ("inset(0 50% 0 0 round 1px)", (2, 5), (7, 5)),
        ("inset(0 0 0 0 round 5px)", (5, 1), (0.5, 0.5)),
        ("polygon(0 0, 100% 0, 50% 100%)", (5, 5), (1, 8)),
        ("polygon(evenodd, 0 0, 5px 0, 5px 10px, 0 10px)", (2, 5), (7, 5)),
        ("path('M0 0H5V10H0Z')", (2, 5), (7, 5)),
        ("rect(0 5px 10px 0)", (2, 5), (7, 5)),
        ("xywh(0 0 50% 100%)", (2, 5), (7, 5)),
        ("circle(3px at 5px 5px) view-box", (5, 5), (1, 5)),
    ],
)
def test_shapes_clip(shape: str, inside: tuple[float, float], outside: tuple[float, float]) -> None:
    rect = RECT.format(f'fill="red" style="clip-path:{shape}"')
    assert (colour(rect, *inside), colour(rect, *outside)) == (RED, (0, 0, 0, 0))


@pytest.mark.parametrize("middle", ["50% 50%", "center", "5px 5px"])
def test_an_element_turns_about_its_origin(middle: str) -> None:
    style = f"rotate:180deg;transform-origin:{middle}"
    rect = f"<rect x='1' y='1' width='2' height='2' fill='red' style='{style}'/>"
    assert (colour(rect, 8, 8), colour(rect, 2, 2)) == (RED, (0, 0, 0, 0))


@pytest.mark.parametrize("how", ['style="transform:rotate(90deg)"', 'transform="rotate(90)"'])
def test_the_root_turns_about_its_middle(how: str) -> None:
    rect = '<rect width="5" height="10" fill="red"/>'
    head = f'xmlns="http://www.w3.org/2000/svg" width="64" height="64" viewBox="0 0 10 10" {how}'
    pixels = decode(f"<svg {head}>{rect}</svg>".encode(), 40)
    assert (tuple(pixels[5, 20]), tuple(pixels[35, 20])) == (RED, (0, 0, 0, 0))


def test_a_background_of_the_root_is_drawn() -> None:
    circle = '<circle cx="5" cy="5" r="2" fill="red"/>'
    head = 'xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 10" style="background:{}"'
    for value, corner in (("lime", (0, 255, 0, 255)), ("none", (0, 0, 0, 0))):
        pixels = decode(f"<svg {head.format(value)}>{circle}</svg>".encode(), 40)
        assert (tuple(pixels[0, 0]), tuple(pixels[20, 20])) == (corner, RED)


@pytest.mark.parametrize(
    ("css", "reason"),
    [
        ("a{" * 40 + "&amp; &amp; &amp;{" * 10 + "fill:red" + "}" * 50, "too-complex"),
        (".a{fill:red}" * 101, "too-complex"),
        ("(" * 5_000, "blank"),
        (".b{a:" + "(" * 5_000, "too-complex"),
    ],
)
def test_style_sheets_out_of_all_bounds(
    css: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hangtag.dataset.svg.stylesheet.MAX_RULES", 100)
    with pytest.raises(ImageError) as caught:
        decode(document(f"<style>{css}</style>"), 40)
    assert caught.value.reason == reason


def test_a_plain_drawing_reaches_the_renderer_untouched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nearly all drawings of a library are such, and must not pay for what others need."""
    monkeypatch.setattr("hangtag.dataset.svg.style._Styler", None)
    style = "fill:#f00;stroke:none;stroke-width:1px;opacity:.9;font-family:'Sans';-x-y:a"
    assert colour(RECT.format(f'style="{style}"') + RECT.format('fill="red"')) == RED


def test_text_takes_the_fonts_of_css() -> None:
    small = document('<style>text{font:bold 8px serif}</style><text y="8">X</text>')
    large = document('<text y="8" font-size="8" font-weight="bold" font-family="serif">X</text>')
    images = []
    for data in (small, large):
        try:
            images.append(decode(data, 64).tobytes())
        except ImageError:  # no fonts on this machine
            images.append(b"")
    assert images[0] == images[1]


@pytest.mark.parametrize(
    ("instruction", "fill"),
    [
        ('href="data:text/css,rect%7Bfill:red%7D" type="text/css"', "blue"),
        ("href='data:text/css;base64,cmVjdHtmaWxsOnJlZH0='", "blue"),
        ('href="data:text/css,rect{font-family:&quot;a&quot;;fill:red}"', "blue"),
        ('href="data:text/css,rect{fill:blue}" media="print"', "red"),
        ('href="data:text/css,rect{fill:blue}" alternate="yes" title="x"', "red"),
        ('href="data:text/css,rect{fill:blue}" type="text/xsl"', "red"),
        ('href="a.css"', "red"),
    ],
)
def test_a_style_sheet_before_the_root(instruction: str, fill: str) -> None:
    comment = "<!-- <?xml-stylesheet href='data:,rect{fill:lime}'?> -->"
    data = f"{comment}<?xml-stylesheet {instruction}?>".encode() + document(
        RECT.format(f'fill="{fill}"')
    )
    assert tuple(decode(data, 40)[20, 20]) == RED


@pytest.mark.parametrize("css", ["mix-blend-mode:plus-lighter", "MIX-BLEND-MODE:Plus-Lighter"])
def test_plus_lighter_is_drawn_as_screen(css: str) -> None:
    rects = RECT.format('fill="#804020"') + RECT.format(f'fill="#208040" style="{css}"')
    assert colour(rects) == pytest.approx((0x90, 0xA0, 0x58, 255), abs=2)
