"""What the README shows: the page and the review at telling moments, in a real browser.

    make demo
    pytest tests/service/test_pictures.py --demo demo --screenshots docs

Without --demo the tests' own library is shown, and without --screenshots nothing is kept.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from hangtag.library.catalog import Catalog


@pytest.fixture
def demo(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Path]:
    """A model and the catalog that it was trained on, with tags missing."""
    given = request.config.getoption("--demo")
    if given is not None:
        return Path(given) / "model", Path(given) / "library" / "designs.csv"
    library, work = (request.getfixturevalue(name) for name in ("library", "work"))
    designs = [replace(d, tags=d.tags[: 1 if n % 7 == 0 else 2]) for n, d in enumerate(library)]
    replace(library, designs=tuple(designs)).write(tmp_path / "spoilt.csv")
    return work / "model", tmp_path / "spoilt.csv"


@pytest.fixture
def keep(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Page, str], None]:
    """Save what a page shows, in few enough colours for a README."""
    folder = request.config.getoption("--screenshots")

    def save(page: Page, name: str) -> None:
        page.screenshot(path=tmp_path / name)
        if folder is not None:
            Image.open(tmp_path / name).convert("RGB").quantize(192).save(
                Path(folder) / name, optimize=True
            )

    return save


def images(catalog_file: Path, count: int) -> list[str]:
    """Designs from all over the library."""
    catalog = Catalog.read(catalog_file)
    return [catalog.location(one) for one in catalog.designs[:: len(catalog) // count][:count]]


def test_the_page(
    demo: tuple[Path, Path], serve: Callable, browser: Browser, keep: Callable[[Page, str], None]
) -> None:
    model, catalog = demo
    url = serve(model).url
    page = browser.new_page(viewport={"width": 1180, "height": 900})
    page.goto(url)
    page.set_input_files("#files", images(catalog, 9))
    expect(page.locator("#status")).to_have_text("9 designs tagged.", timeout=30_000)
    page.locator(".yes").first.click()
    page.locator(".design").nth(1).locator(".no").last.click()
    expect(page.locator(".accepted")).to_have_count(1)
    expect(page.locator(".rejected")).to_have_count(1)
    page.evaluate("() => window.scrollTo(0, 0)")
    keep(page, "page.png")
    page.close()


def test_the_page_on_a_phone_in_the_dark(
    demo: tuple[Path, Path], serve: Callable, browser: Browser, keep: Callable[[Page, str], None]
) -> None:
    model, catalog = demo
    url = serve(model).url
    page = browser.new_page(viewport={"width": 390, "height": 780}, color_scheme="dark")
    page.goto(url)
    page.set_input_files("#files", images(catalog, 4))
    expect(page.locator("#status")).to_have_text("4 designs tagged.", timeout=30_000)
    page.locator(".design").nth(1).scroll_into_view_if_needed()
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
    keep(page, "phone.png")
    page.close()


def test_the_review_by_tag(
    demo: tuple[Path, Path],
    serve: Callable,
    browser: Browser,
    keep: Callable[[Page, str], None],
    tmp_path: Path,
) -> None:
    model, catalog = demo
    answers = tmp_path / "answers.sqlite"
    url = serve(model, catalog, "--answers", answers, command="review").url
    page = browser.new_page(viewport={"width": 1180, "height": 740})
    page.goto(f"{url}/#review")
    expect(page.locator("#one .questions li").first).to_be_visible(timeout=60_000)
    page.keyboard.press("t")
    expect(page.locator("#many h2")).to_contain_text("Is this ")
    asked = page.locator("#which option").evaluate_all("all => all.map(one => one.value)")
    tag = next(tag for tag in ("red", "disc") if tag in asked)
    page.locator("#which").select_option(tag)
    expect(page.locator("#many h2")).to_have_text(f"Is this {tag}?", timeout=30_000)
    shown = page.locator("#many img")
    expect(shown.first).to_be_visible()
    expect(page.locator("#many img:not([src])")).to_have_count(0, timeout=30_000)
    shown.evaluate_all("all => Promise.all(all.map(one => one.decode()))")  # fails for a broken one
    keep(page, "review.png")
    page.close()
