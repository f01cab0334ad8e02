"""Which hosts and which origins may ask."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from hangtag.service.origins import Origins


async def answers(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("answer")(scope, receive, send)


def ask(
    method: str = "POST", path: str = "/tag", *, local: bool = True, allowed: tuple[str, ...] = (),
    **headers: str,
) -> httpx.Response:  # fmt: skip
    """Ask at localhost:8080; in the headers' names _ stands for -."""

    async def main() -> httpx.Response:
        transport = httpx.ASGITransport(Origins(answers, local=local, allowed=allowed))
        async with httpx.AsyncClient(transport=transport) as client:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return await client.request(method, f"http://localhost:8080{path}", headers=named)

    # In a thread of its own: in this one the browser of other tests may have a loop running.
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(main())).result()


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize(
    "path", ["/tag", "/invocations", "/look", "/reload", "/tags", "/metrics", "/review/image",
             "/review/design", "/review/answers", "/review/undo", "/a/route/of/tomorrow"],
)  # fmt: skip
def test_pages_of_other_origins_may_ask_nothing(path: str, method: str) -> None:
    for headers in (
        {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": ""},
        {"Origin": "http://localhost:3000"}, {"Origin": "http://127.0.0.1:8080"},
        {"Origin": "chrome-extension://localhost:8080"}, {"Origin": "http://localhost:8080.evil"},
        {"Origin": "http://[localhost:8080"}, {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"}, {"Sec_Fetch_Site": "of tomorrow"},
        {"Origin": "http://localhost:8080", "Sec_Fetch_Site": "cross-site"},
    ):  # fmt: skip
        assert ask(method, path, **headers).status_code == 403, headers


@pytest.mark.parametrize(
    "headers",
    [
        {},  # no browser
        {"Origin": "http://localhost:8080"}, {"Origin": "http://LOCALHOST:8080"},
        {"Sec_Fetch_Site": "same-origin"}, {"Sec_Fetch_Site": "none"},
        # a proxy that takes TLS off, and names another host or keeps the browser's
        {"Origin": "https://tags.lan", "Sec_Fetch_Site": "same-origin"},
        {"Origin": "https://tags.lan", "X_Forwarded_Host": "tags.lan, inner"},
        {"Origin": "https://tags.lan", "X_Forwarded_Host": "tags.lan:443"},
    ],
)  # fmt: skip
def test_the_servers_own_page_and_programs_may_ask(headers: dict[str, str]) -> None:
    assert ask(**headers).status_code == 200


def test_a_proxy_that_keeps_the_host() -> None:
    headers = {"Host": "tags.example.com", "Origin": "https://tags.example.com"}
    assert ask(local=False, **headers).status_code == 200
    assert ask(local=False, **headers | {"Host": "tags.example.com:8080"}).status_code == 403


@pytest.mark.parametrize("path", ["/", "/page/page.js", "/ping", "/healthz", "/docs"])
def test_whoever_likes_may_link_to_the_page(path: str) -> None:
    for method in ("GET", "HEAD"):
        assert ask(method, path, Sec_Fetch_Site="cross-site").status_code == 200
    assert ask("POST", path, Sec_Fetch_Site="cross-site").status_code == 403


def test_an_allowed_origin_may_ask_and_read() -> None:
    allowed = ("https://dam.example.com",)
    headers = {"Origin": allowed[0], "Sec_Fetch_Site": "cross-site"}
    answer = ask(allowed=allowed, **headers)
    assert answer.headers["access-control-allow-origin"] == allowed[0]
    preflight = {**headers, "Access_Control_Request_Method": "POST",
                 "Access_Control_Request_Headers": "authorization,content-type"}  # fmt: skip
    answer = ask("OPTIONS", allowed=allowed, **preflight)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == allowed[0]
    other = {**preflight, "Origin": "https://dam.example.com.evil"}
    assert ask("OPTIONS", allowed=allowed, **other).status_code == 403
    assert ask("OPTIONS", **preflight).status_code == 403
    assert ask(allowed=allowed, Host="dam.example.com").status_code == 200


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:8080", "LocalHost", "localhost.", "localhost.:80", "app.localhost:1",
     "127.0.0.1", "127.0.0.1:1", "127.3.2.1", "127.0.0.1.", "[::1]", "[::1]:8080",
     "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]:80", " localhost "],
)  # fmt: skip
def test_every_name_of_this_machine_is_let_in(host: str) -> None:
    assert ask(Host=host).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8080", "localhost.evil.example", "evillocalhost", "10.0.0.1",
     "localhost@evil.example", "evil@localhost", "127.0.0.1.evil.example", "[::2]", "[::1",
     "localhost, evil.example", "localhost/", "", "0.0.0.0"],
)  # fmt: skip
def test_other_names_are_not(host: str) -> None:
    assert ask(Host=host).status_code == 421
    assert ask(Host=host, local=False).status_code == 200
