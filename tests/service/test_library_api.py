"""The library over HTTP, and as a tab of the page in a real browser."""

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from hangtag.index.build import build_index
from hangtag.library.catalog import Catalog
from hangtag.review.store import ReviewStore
from hangtag.service.serve import FIRST
from tests.service.conftest import Server, start  # its fixtures are those of all tests here


@pytest.fixture(scope="module")
def folder(library: Catalog, headed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalog in which a third of the designs have no tags and one has a wrong one; an index."""
    folder = tmp_path_factory.mktemp("served")
    for design in library:
        shutil.copy(library.location(design), folder)
    designs = [replace(one, tags=() if n % 3 == 0 else one.tags) for n, one in enumerate(library)]
    designs[1] = replace(designs[1], tags=("bar", "red"))  # a square
    Catalog(tuple(designs), folder).write(folder / "designs.csv")
    build_index(folder / "designs.csv", folder / "index", model=headed / "model", workers=1)
    return folder


@pytest.fixture(scope="module")
def library_server(folder: Path, headed: Path) -> Iterator[Server]:
    started = start(headed / "model", "--index", folder / "index")
    yield started
    assert started.stop() == 0
    assert "Traceback" not in "".join(started.said)


def post(server: Server, path: str, content: dict[str, object]) -> httpx.Response:
    return httpx.post(f"{server.url}{path}", json=content, timeout=60)


@pytest.mark.slow
def test_search_by_pages(library_server: Server, library: Catalog) -> None:
    assert httpx.get(f"{library_server.url}/library").json() == {"designs": 160, "scored": True}
    assert httpx.get(f"{library_server.url}/healthz").json()["library"] is True
    every = post(library_server, "/search", {"start": 150, "count": 50}).json()
    assert (every["total"], len(every["designs"])) == (160, 10)
    found = post(library_server, "/search", {"query": "disc red", "count": 3}).json()
    assert len(found["designs"]) == 3 <= found["total"]
    first = found["designs"][0]
    assert {one["name"] for one in first["reasons"]} == {"disc", "red"}
    assert "disc" in library.designs[first["id"]].tags
    unknown = post(library_server, "/search", {"query": "zebra"})
    assert (unknown.status_code, unknown.json()["reason"]) == (422, "query")
    assert post(library_server, "/search", {"count": 0}).status_code == 422


@pytest.mark.slow
def test_filters(library_server: Server) -> None:
    suggested = post(library_server, "/search", {"only": "suggestions", "count": 200}).json()
    ids = {one["id"] for one in suggested["designs"]}
    assert len(ids & set(range(0, 160, 3))) > 40  # those without tags
    wrong = post(library_server, "/search", {"only": "wrong"}).json()
    assert 1 in {one["id"] for one in wrong["designs"]}
    design = httpx.get(f"{library_server.url}/library/design", params={"id": 1}).json()
    assert "bar" in design["doubtful"]
    assert design["tags"] == ["bar", "red"]
    assert design["colours"]


@pytest.mark.slow
def test_similar_designs(library_server: Server, library: Catalog) -> None:
    found = post(library_server, "/similar", {"ids": [0], "top": 5}).json()["designs"]
    assert len(found) == 5
    assert 0 not in {one["id"] for one in found}
    data = Path(library.location(library.designs[0])).read_bytes()
    answer = httpx.post(
        f"{library_server.url}/similar/image",
        params={"top": 5, "by": "style"}, content=data, headers={"Content-Type": "image/png"},
    )  # fmt: skip
    assert len(answer.json()["designs"]) == 5
    refused = httpx.post(
        f"{library_server.url}/similar/image", content=b"x", headers={"Content-Type": "image/png"}
    )
    assert refused.status_code == 422
    assert post(library_server, "/similar", {"ids": [160]}).status_code == 404
    assert post(library_server, "/similar", {"ids": []}).status_code == 422


@pytest.mark.slow
def test_pictures(library_server: Server) -> None:
    for large in (False, True):
        answer = httpx.get(f"{library_server.url}/library/image", params={"id": 3, "large": large})
        assert answer.content.startswith(b"\x89PNG")
    missing = httpx.get(f"{library_server.url}/library/image", params={"id": 999})
    assert missing.status_code == 404


@pytest.fixture
def page(browser: Browser, library_server: Server) -> Iterator[Page]:
    """The tab, opened; whatever the console complains of fails the test."""
    context = browser.new_context(viewport={"width": 1000, "height": 800})
    opened = context.new_page()
    wrong: list[str] = []
    opened.on("console", lambda m: wrong.append(m.text) if m.type in ("error", "warning") else None)
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.goto(f"{library_server.url}/#library")
    expect(opened.locator("#library-status")).to_have_text("160 designs", timeout=20_000)
    yield opened
    context.close()
    assert not [one for one in wrong if "422" not in one]


def test_the_grid_holds_what_is_seen_alone(page: Page) -> None:
    cells = page.locator("#grid button")
    expect(cells.first).to_be_visible()
    assert cells.count() < 100
    first = page.locator("#grid img").first.get_attribute("alt")
    page.locator("#scroller").evaluate("one => { one.scrollTop = one.scrollHeight; }")
    expect(page.locator("#grid li[aria-posinset='160']")).to_be_visible()
    assert page.locator(f"#grid img[alt='{first}']").count() == 0
    assert cells.count() < 100


def test_search_and_neighbours_by_keyboard_alone(page: Page, library: Catalog) -> None:
    page.keyboard.press("/")
    page.keyboard.type("disc")
    page.keyboard.press("Enter")
    expect(page.locator("#library-status")).not_to_have_text("160 designs")
    expect(page.locator("#grid img").first).to_be_visible()
    page.locator("#scroller").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#chosen h2")).to_contain_text("disc")
    expect(page.locator("#chosen dd").first).to_contain_text("disc")
    page.keyboard.press("s")
    expect(page.locator("#library-status")).to_contain_text("Most like")
    expect(page.locator("#grid li[aria-posinset='2']")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#library-status")).to_contain_text("designs")
    page.locator("#query").fill("zebra")
    page.keyboard.press("Enter")
    expect(page.locator("#library-status")).to_contain_text("no tag 'zebra'")
    page.locator("#query").fill("")
    page.locator("#only").select_option("suggestions")
    expect(page.locator("#grid img").first).to_be_visible()


def test_the_tab_is_accessible(page: Page) -> None:
    page.locator("#grid button").first.click()
    expect(page.locator("#chosen h2")).not_to_be_empty()
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def test_a_review_starts_with_the_scores_of_the_index(
    serve: Callable, folder: Path, headed: Path, tmp_path: Path
) -> None:
    """The first questions are there before anything is learned; then the learner's replace them."""
    answers = tmp_path / "review.sqlite"
    options = (folder / "designs.csv", "--index", folder / "index", "--answers", answers)
    began = serve(headed / "model", *options, command="review")
    asked = httpx.post(f"{began.url}/review/design", json={"reviewer": "ann", "after": ""}).json()
    assert asked["questions"]
    store, limit = ReviewStore(answers), time.monotonic() + 30
    while store.questions_key() == FIRST and time.monotonic() < limit:
        time.sleep(0.05)
    assert store.questions_key() not in ("", FIRST)
    assert store.counts()[0] > 0
    assert not (tmp_path / "review.sqlite.features").exists()  # those of the index were used
    assert "scores of another model" not in "".join(began.said)


def test_a_server_without_an_index_has_no_tab(
    browser: Browser, serve: Callable, work: Path
) -> None:
    url = serve(work / "model").url
    page = browser.new_page()
    page.goto(url)
    expect(page.locator("#model")).to_contain_text("tags")
    expect(page.locator("#tabs")).to_be_hidden()
    assert httpx.post(f"{url}/search", json={}).status_code == 404
    page.close()
