"""The library over HTTP, and as a tab of the page in a real browser."""

import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

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
    model = shutil.copytree(headed / "model", folder / "model")  # it is taught tags
    index = shutil.copytree(folder / "index", folder / "taught index")  # and so is this
    started = start(model, "--index", index, "--teach")
    yield started
    assert started.stop() == 0
    assert "Traceback" not in started.said


def post(server: Server, path: str, content: dict[str, object]) -> httpx.Response:
    return httpx.post(f"{server.url}{path}", json=content, timeout=60)


def searched_when_known(server: Server, query: str) -> dict[str, Any]:
    """Search for a tag that was just taught: its scores are added after the answer."""
    until = time.monotonic() + 60
    while (answer := post(server, "/search", {"query": query})).status_code == 422:
        assert time.monotonic() < until
        time.sleep(0.02)
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.slow
def test_search_by_pages(library_server: Server, library: Catalog) -> None:
    assert httpx.get(f"{library_server.url}/library").json() == {
        "designs": 160, "scored": True, "teaches": True, "taught": [],
    }  # fmt: skip
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
def test_filters_of_one_tag(library_server: Server, library: Catalog) -> None:
    tags = {
        one["tag"]: one["designs"] for one in httpx.get(f"{library_server.url}/library/tags").json()
    }
    found = post(library_server, "/search", {"tag": "Discs", "count": 200}).json()
    assert found["total"] == tags["disc"]
    assert all("disc" in library.designs[one["id"]].tags for one in found["designs"])
    both = post(library_server, "/search", {"tag": "disc", "query": "red", "count": 200}).json()
    assert 0 < both["total"] < found["total"]
    suggested = post(
        library_server, "/search", {"tag": "disc", "only": "suggestions", "count": 200}
    ).json()["designs"]
    right = ["disc" in library.designs[one["id"]].tags for one in suggested]
    assert sum(right) > 0.8 * len(right) > 0
    wrong = post(library_server, "/search", {"tag": "bar", "only": "wrong"}).json()
    assert [one["id"] for one in wrong["designs"]] == [1]
    assert post(library_server, "/search", {"tag": "zebra"}).status_code == 422


@pytest.mark.slow
def test_a_tag_is_taught_from_designs(
    library_server: Server, folder: Path, library: Catalog
) -> None:
    """Red discs, as a tag of their own."""
    red = [n for n, one in enumerate(library.designs) if one.tags == ("disc", "red")]
    others = [n for n, one in enumerate(library.designs) if one.tags == ("disc", "blue")]
    asked = {"tag": "Red Disc", "yes": red[:4], "no": others[:2]}
    taught = post(library_server, "/teach", asked).json()
    assert (taught["tag"], taught["yes"], taught["no"]) == ("red disc", 4, 2)
    assert taught["likely"][0]["id"] in red
    assert not {one["id"] for one in taught["questions"]} & set(red[:4])
    more = post(library_server, "/teach", {"tag": "red disc", "yes": red[4:5]}).json()
    assert (more["yes"], more["no"]) == (5, 2)
    picture = Path(library.location(library.designs[red[6]])).read_bytes()
    answer = httpx.post(
        f"{library_server.url}/tag", content=picture, headers={"Content-Type": "image/png"}
    )
    assert "red disc" in answer.text  # the server has loaded the model that it taught
    assert "red disc" in (folder / "model" / "tags.json").read_text()
    found = searched_when_known(library_server, "red disc")
    assert found["total"] >= 5
    assert found["designs"][0]["id"] in red


@pytest.mark.slow
def test_what_cannot_be_taught(library_server: Server) -> None:
    for wrong, status, message in (
        ({"tag": "x", "yes": [1]}, 422, "at least 3 designs"),
        ({"tag": "disc", "yes": [1, 2, 3]}, 422, "was trained on the tag"),
        ({"tag": "x", "yes": [160]}, 404, "no design 160"),
        ({"tag": "x"}, 422, "name designs"),
    ):
        answer = post(library_server, "/teach", wrong)
        assert answer.status_code == status
        assert message in answer.json()["message"]


@pytest.mark.slow
def test_a_tag_is_forgotten(library_server: Server, folder: Path, library: Catalog) -> None:
    """The answer teaches it again."""
    blue = [n for n, one in enumerate(library.designs) if one.tags == ("disc", "blue")]
    asked = {"tag": "blue disc", "yes": blue[:4], "no": blue[4:5]}
    assert post(library_server, "/teach", asked).status_code == 200
    searched_when_known(library_server, "blue disc")
    found = post(library_server, "/teach/forget", {"tag": "Blue  Disc"}).json()
    assert found == {**asked, "missing": 0}
    about = httpx.get(f"{library_server.url}/library").json()
    assert "blue disc" not in about["taught"]
    assert "blue disc" not in (folder / "model" / "tags.json").read_text()
    until = time.monotonic() + 60
    while post(library_server, "/search", {"query": '"blue disc"'}).status_code == 200:
        assert time.monotonic() < until
        time.sleep(0.02)
    picture = Path(library.location(library.designs[blue[5]])).read_bytes()
    headers = {"Content-Type": "image/png"}
    answer = httpx.post(f"{library_server.url}/tag?all=true", content=picture, headers=headers)
    assert answer.status_code == 200
    assert "blue disc" not in answer.text
    for tag, message in (("blue disc", "taught no tag"), ("disc", "was trained on the tag")):
        refused = post(library_server, "/teach/forget", {"tag": tag})
        assert refused.status_code == 422
        assert message in refused.json()["message"]
    del found["missing"]
    again = post(library_server, "/teach", found).json()
    assert (again["yes"], again["no"]) == (4, 1)
    post(library_server, "/teach/forget", {"tag": "blue disc"})


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


def test_a_tag_is_taught_by_keyboard_alone(page: Page) -> None:
    page.locator("#of-tag").fill("ring")
    page.keyboard.press("Enter")
    expect(page.locator("#library-status")).not_to_have_text("160 designs")
    first = page.locator("#grid button").first
    expect(first.locator("img")).to_have_attribute("alt", re.compile("ring"))
    first.focus()
    page.keyboard.press("ArrowRight")
    for key in "yyyn":
        page.keyboard.press(key)
    expect(page.locator("#marked")).to_have_text("3 marked with it, 1 without")
    page.keyboard.press("Space")  # the fifth: yes
    page.keyboard.press("u")
    expect(page.locator("#marked")).to_have_text("3 marked with it, 1 without")
    assert page.locator("#grid button.yes").count() == 3
    page.keyboard.press("t")
    expect(page.locator("#library-status")).to_have_text("Name the tag to teach.")
    page.keyboard.type("wedge")
    page.keyboard.press("Enter")
    expect(page.locator("#library-status")).to_contain_text(
        "knows wedge from 3 designs with it and 1 without", timeout=30_000
    )
    expect(page.locator("#marked")).to_have_text("0 marked with it, 0 without")
    expect(page.locator("#chosen .score-line")).to_contain_text("wedge")
    page.keyboard.press("y")  # the first of the most uncertain designs
    expect(page.locator("#marked")).to_have_text("1 marked with it, 0 without")
    page.keyboard.press("Escape")
    expect(page.locator("#library-status")).to_contain_text("designs")
    page.locator("#unmark").click()
    expect(page.locator("#taught option[value=wedge]")).to_have_count(1)
    page.locator("#forget").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#library-status")).to_have_text(
        "The model has forgotten wedge. 3 designs with it and 1 without are marked again.",
        timeout=30_000,
    )
    expect(page.locator("#marked")).to_have_text("3 marked with it, 1 without")
    expect(page.locator("#taught option[value=wedge]")).to_have_count(0)


def test_the_tab_is_accessible(page: Page) -> None:
    page.locator("#grid button").first.click()
    expect(page.locator("#chosen h2")).not_to_be_empty()
    page.keyboard.press("y")
    page.keyboard.press("n")
    expect(page.locator("#grid .mark[role=img]")).to_have_count(2)
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
    assert httpx.post(f"{began.url}/teach", json={}).status_code == 404  # without --teach
    assert not (tmp_path / "review.sqlite.features").exists()  # those of the index were used
    assert "scores of another model" not in began.said


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
