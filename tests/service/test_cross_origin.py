"""Pages of another origin in a real browser, with a server on this machine."""

import base64
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page

from hangtag.library.catalog import Catalog

# All that a page can do without being allowed to: simple requests, forms, images.
ATTACK = """async url => {
  const bytes = Uint8Array.from(atob(image), sign => sign.charCodeAt(0));
  const form = new FormData();
  form.append("image", new Blob([bytes], {type: "image/png"}), "a.png");
  const sent = [
    ["/tag", {method: "POST", mode: "no-cors", body: form}],
    ["/tag", {method: "POST", mode: "cors", body: form}],
    ["/tag", {method: "POST", mode: "cors", body: bytes, headers: {"Content-Type": "image/png"}}],
    ["/invocations", {method: "POST", mode: "no-cors", body: new Blob([bytes], {type: "image/png"})}],
    ["/review/answers", {method: "POST", mode: "no-cors", body: answers}],
    ["/review/answers", {method: "POST", body: answers, headers: {"Content-Type": "application/json"}}],
    ["/review/undo", {method: "POST", mode: "no-cors", body: '{"reviewer": "ann"}'}],
    ["/tags", {method: "POST", mode: "no-cors", body: '{"reviewer": "ann", "tag": "x", "images": ["' + name + '"]}'}],
    ["/reload", {method: "POST", mode: "no-cors"}],
    ["/review", {mode: "no-cors"}], ["/tags", {mode: "cors"}],
  ];
  const read = [];
  for (const [path, options] of sent)
    try { if ((await fetch(url + path, options)).status === 200) read.push(path); } catch {}
  await new Promise(done => {
    const picture = new Image();
    picture.onload = () => { read.push("image"); done(); };
    picture.onerror = done;
    picture.src = url + "/review/image?image=" + encodeURIComponent(name);
  });
  await new Promise(done => {
    const frame = document.createElement("iframe");
    frame.name = "frame";
    frame.onload = done;
    document.body.append(frame);
    const form = document.createElement("form");
    Object.assign(form, {method: "POST", action: url + "/review/undo", target: "frame", enctype: "text/plain"});
    form.innerHTML = `<input name='{"reviewer": "ann", "x": "' value='"}'>`;
    document.body.append(form);
    form.submit();
  });
  return read;
}"""  # noqa: E501


@pytest.fixture(scope="module")
def other() -> Iterator[str]:
    """The address of an empty page on another port of this machine."""

    class Empty(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b"<!doctype html><title>elsewhere</title><body>"
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Empty) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    opened = browser.new_page()
    yield opened
    opened.close()


def count(url: str, name: str) -> float:
    lines = httpx.get(f"{url}/metrics").text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


def attack(page: Page, url: str, library: Catalog) -> list[str]:
    design = library.designs[0]
    code = base64.b64encode(Path(library.location(design)).read_bytes()).decode()
    answer = {"image": design.image, "tag": "red", "answer": "no"}
    answers = json.dumps({"reviewer": "mallory", "answers": [answer]})
    values = json.dumps({"image": code, "answers": answers, "name": design.image})
    page.evaluate(f"() => Object.assign(window, {values})")
    return list(page.evaluate(ATTACK, url))


def test_a_page_of_another_origin_changes_nothing_and_costs_nothing(
    serve: Callable, work: Path, library: Catalog, tmp_path: Path, page: Page, other: str
) -> None:
    catalog = library.root / "designs.csv"
    options = (catalog, "--answers", tmp_path / "a.sqlite", "--reload")
    url = serve(work / "model", *options, command="review").url
    answer = {"image": library.designs[0].image, "tag": "disc", "answer": "yes"}
    kept = httpx.post(f"{url}/review/answers", json={"reviewer": "ann", "answers": [answer]}).json()
    for place in (other, other.replace("127.0.0.1", "localhost")):
        page.goto(place)
        assert attack(page, url, library) == []
        assert attack(page, url.replace("127.0.0.1", "localhost"), library) == []
    assert count(url, "hangtag_images_total") == 0
    assert count(url, 'hangtag_requests_total{route="other",status="403"}') >= 40
    state = httpx.get(f"{url}/review").json()
    assert (state["open"], state["answered"]) == (kept["open"], kept["answered"])
    page.goto(url)  # what the other page may not, the server's own may
    assert {"/tag", "/review/answers", "image"} <= set(attack(page, url, library))
    assert count(url, "hangtag_images_total") > 0


def test_an_allowed_origin_reads_tags(
    serve: Callable, work: Path, library: Catalog, page: Page, other: str
) -> None:
    url = serve(work / "model", "--allow-origin", other, token="s3cret").url
    page.goto(other)
    script = """async ([url, token]) => {
      const answer = await fetch(url + "/tags", {headers: {Authorization: "Bearer " + token}});
      return [answer.status, await answer.json()];
    }"""
    status, tags = page.evaluate(script, [url, "s3cret"])
    assert (status, len(tags)) == (200, 9)
    assert page.evaluate(script, [url, "wrong"])[0] == 401
