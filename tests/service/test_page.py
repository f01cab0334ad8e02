"""The page in a real browser: Debian's Chromium, driven by Playwright."""

import csv
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, Page, expect

import hangtag
from hangtag.library.catalog import Catalog
from hangtag.library.keywords.xmp import keywords, read_keywords
from hangtag.library.rules import normalise_tag


@pytest.fixture
def page(browser: Browser, server) -> Iterator[Page]:
    """The page, opened; whatever its console complains of fails the test."""
    context = browser.new_context(accept_downloads=True, viewport={"width": 1000, "height": 900})
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    opened = context.new_page()
    wrong: list[str] = []
    opened.on("console", lambda m: wrong.append(m.text) if m.type in ("error", "warning") else None)
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.goto(server.url)
    expect(opened.locator("#model")).to_contain_text("tags")
    yield opened
    context.close()
    assert not wrong


@pytest.fixture
def images(library: Catalog) -> list[str]:
    return [library.location(design) for design in library.designs[:3]]


def drop(page: Page, paths: list[str]) -> None:
    page.set_input_files("#files", paths)
    expect(page.locator("#status")).to_contain_text("tagged.", timeout=20_000)


def names(page: Page, design: int = 0) -> list[str]:
    return page.locator(".design").nth(design).locator(".name").all_inner_texts()


def test_designs_get_their_tags(page: Page, images: list[str], library: Catalog) -> None:
    drop(page, images)
    expect(page.locator("#status")).to_have_text("3 designs tagged.")
    assert page.locator(".design h2").all_inner_texts() == [Path(path).name for path in images]
    page.locator("#few").fill("4")
    assert all(len(names(page, n)) == 9 for n in range(3))
    scores = page.locator(".design").first.locator(".score").all_inner_texts()
    values = [int(text.removesuffix(" %")) for text in scores]
    assert values == sorted(values, reverse=True)
    found = {tag for n in range(3) for tag in names(page, n)[:3]}
    assert found & set(library.designs[0].tags)


def test_files_are_taken_when_dropped(page: Page, images: list[str]) -> None:
    content = list(Path(images[0]).read_bytes())
    transfer = page.evaluate_handle(
        """bytes => { const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(bytes)], "dropped.png", {type: "image/png"}));
        return data; }""",
        content,
    )
    page.dispatch_event("#drop", "drop", {"dataTransfer": transfer})
    expect(page.locator(".design h2")).to_have_text("dropped.png")
    expect(page.locator("#status")).to_have_text("1 design tagged.", timeout=20_000)


def test_accept_reject_and_add_by_keyboard_alone(page: Page, images: list[str]) -> None:
    drop(page, images[:2])
    page.locator("#few").fill("4")
    page.locator("#few").blur()
    page.keyboard.press("k")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("y")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("n")
    first = page.locator(".design").first
    tags = names(page)
    expect(first.locator(".accepted .name")).to_have_text(tags[0])
    expect(first.locator(".rejected .name")).to_have_text(tags[1])
    page.keyboard.press("a")
    page.keyboard.type("Brand_New  tag")
    page.keyboard.press("Enter")
    expect(first.locator(".new .name")).to_have_text("brand new tag")
    page.keyboard.type("^_^")
    page.keyboard.press("Enter")
    expect(first.locator(".new .name")).to_have_text(["brand new tag", "^_^"])
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    expect(page.locator(".design").nth(1)).to_be_focused()
    page.keyboard.press("c")
    expect(page.locator("#status")).to_have_text("Copied.")
    copied = page.evaluate("() => navigator.clipboard.readText()").splitlines()[0]
    assert copied.startswith(f"{Path(images[0]).name}: {tags[0]}")
    assert copied.endswith("brand new tag, ^_^")
    assert tags[1] not in copied.split(": ")[1].split(", ")


TYPED = (
    "Brand_New  tag", " Cafe\u0301 ", "STRASSE", "straße", "ΛΌΓΟΣ", "ﬁne", "Istanbul", "ıssız",
    "^_^", "o_o", "O_O", "(o)_(o)", ">_<", "6_9", "x_y", "_left_", "a^_^", "^_^ smile", "_", "__",
)  # fmt: skip


def test_a_typed_tag_is_spelled_as_in_python(page: Page) -> None:
    """An emoticon keeps its underscores, in the page as in `normalise_tag`."""
    code = """texts => import("/page/tags.js").then(tags => texts.map(tags.normaliseTag))"""
    assert page.evaluate(code, list(TYPED)) == [normalise_tag(text) for text in TYPED]


def test_the_slider_goes_from_few_to_all(page: Page, images: list[str]) -> None:
    drop(page, images[:1])
    counts = []
    for level in range(5):
        page.locator("#few").fill(str(level))
        counts.append(len(names(page)))
    assert counts == sorted(counts)
    assert counts[-1] == 9
    expect(page.locator("#level")).to_have_text("every tag")


def test_what_is_saved_can_be_read_again(
    page: Page, server, images: list[str], library: Catalog, tmp_path: Path
) -> None:
    """The tags that nobody accepted are marked as the model's, as by `hangtag tag --xmp`."""
    drop(page, images[:1])
    page.locator("#designs .yes").first.click()
    page.locator("#designs .add input").fill("mine & <yours>")
    page.keyboard.press("Enter")

    def save(kind: str) -> Path:
        with page.expect_download() as waiting:
            page.locator(f"[data-save={kind}]").click()
        path = tmp_path / waiting.value.suggested_filename
        waiting.value.save_as(path)
        return path

    line = json.loads(save("jsonl").read_text())
    tags = [tag["tag"] for tag in line["tags"]]
    assert tags[-1] == "mine & <yours>"
    with save("csv").open(newline="") as file:
        row = next(csv.DictReader(file))
    assert row["tags"].split(";") == tags
    scores = row["scores"].split(";")
    assert [bool(score) for score in scores] == [False, *[True] * (len(tags) - 2), False]
    assert save("xmp").name == f"{Path(images[0]).name}.xmp"  # as `hangtag tag --xmp` calls it
    design = tmp_path / Path(images[0]).name
    design.write_bytes(Path(images[0]).read_bytes())
    found = read_keywords(design)
    assert found.tags == [tags[0], tags[-1]]
    identity = httpx.get(f"{server.url}/healthz").json()["identity"]
    assert [(one.tag, one.model) for one in found.machine] == [
        (tag, identity) for tag in tags[1:-1]
    ]
    assert found.machine[0].score == pytest.approx(float(scores[1]), abs=1e-4)
    untagged = hangtag.untag([design])
    assert untagged.tags == len(tags) - 2
    assert keywords(design) == [tags[0], tags[-1]]
    text = design.with_name(f"{design.name}.xmp").read_text()
    assert text.count("mine &#38; &#60;yours&#62;") == 5  # in every field, and as one keyword
    assert tags[1] not in text


def test_hovering_shows_where_the_model_looked(page: Page, images: list[str]) -> None:
    drop(page, images[:1])
    page.locator("#few").fill("4")
    with page.expect_response(re.compile("/look")) as asked:
        page.locator(".tags li").first.hover()
    assert asked.value.ok
    expect(page.locator(".look")).to_have_attribute("width", "8")


def test_markup_in_names_stays_text(page: Page, images: list[str], tmp_path: Path) -> None:
    bad = tmp_path / "<img src=x onerror=alert(1)>.png"
    bad.write_bytes(Path(images[0]).read_bytes())
    drop(page, [str(bad)])
    page.locator("#designs .add input").fill("<script>alert(1)</script>")
    page.keyboard.press("Enter")
    expect(page.locator(".design h2")).to_have_text(bad.name)
    expect(page.locator(".new .name")).to_have_text("<script>alert(1)</script>")
    assert page.locator(".design h2 img").count() == 0


def test_a_file_that_is_no_image_says_so(page: Page, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_text("no image")
    page.set_input_files("#files", [tmp_path / "broken.png"])
    expect(page.locator(".problem")).to_contain_text("No tags:", timeout=20_000)


def test_many_designs_do_not_fall_over_a_full_queue(
    page: Page, library: Catalog, tmp_path: Path
) -> None:
    paths = [library.location(design) for design in library.designs[:60]]
    page.set_input_files("#files", paths)
    expect(page.locator("#status")).to_have_text("60 designs tagged.", timeout=60_000)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_barrier(browser: Browser, server, images: list[str], scheme: str) -> None:
    # axe puts its own script into the page, which the page's policy rightly forbids.
    context = browser.new_context(bypass_csp=True, color_scheme=scheme)
    page = context.new_page()
    page.goto(server.url)
    drop(page, images)
    page.locator(".yes").first.click()
    page.locator(".no").nth(1).click()
    found = Axe().run(page).response["violations"]
    assert not [(one["id"], [node["html"] for node in one["nodes"]]) for one in found]
    context.close()


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (390, "light"), (1000, "dark")])
def test_narrow_and_dark_screens(
    browser: Browser, server, images: list[str], width: int, scheme: str, tmp_path: Path
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page.goto(server.url)
    drop(page, images)
    inner = page.evaluate("() => document.documentElement.scrollWidth")
    assert inner <= width  # nothing sticks out sideways
    page.screenshot(path=tmp_path / "page.png")
    corner = Image.open(tmp_path / "page.png").convert("L").getpixel((2, 2))
    assert (corner < 60) == (scheme == "dark")
    page.close()


def test_the_token_is_asked_for_once(
    browser: Browser, serve: Callable, work: Path, images: list[str]
) -> None:
    url = serve(work / "model", token="s3cret").url
    page = browser.new_page()
    page.goto(url)
    page.locator("#token-text").fill("s3cret")
    page.keyboard.press("Enter")
    expect(page.locator("#model")).to_contain_text("9 tags")
    drop(page, images)
    page.close()


def test_tags_are_shown_and_saved_in_a_language(
    browser: Browser, serve, work: Path, images: list[str], tmp_path: Path
) -> None:
    model = shutil.copytree(work / "model", tmp_path / "m")
    names = {"disc": {"de": "Scheibe", "fr": "disque"}, "square": {"de": "Quadrat"}}
    hangtag.set_names(model, names)
    opened = browser.new_page(locale="en")
    opened.goto(serve(model).url)
    expect(opened.locator("#model")).to_contain_text("tags")
    drop(opened, images[:1])
    opened.locator("#few").fill("4")
    expect(opened.locator(".tags .name", has_text="square")).to_have_count(1)
    opened.locator("#language").select_option(label="German")
    expect(opened.locator(".tags .name", has_text="Scheibe")).to_have_count(1)
    expect(opened.locator(".tags .name", has_text="square")).to_have_count(0)
    opened.locator("#designs .add input").fill("quadrat")
    opened.keyboard.press("Enter")
    with opened.expect_download() as waiting:
        opened.locator("[data-save=jsonl]").click()
    saved = json.loads(Path(waiting.value.path()).read_text())["tags"]
    assert {"Scheibe", "Quadrat", "red"} <= {tag["tag"] for tag in saved}
    assert [tag["tag"] for tag in saved if tag.get("accepted")] == ["Quadrat"]
    if folder := os.environ.get("HANGTAG_LOOK"):
        opened.screenshot(path=f"{folder}/language.png")
    opened.close()
