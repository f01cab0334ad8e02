"""The server's configuration."""

import pytest

from hangtag.errors import ConfigError
from hangtag.service.config import ServeConfig


@pytest.mark.parametrize("value", [0, -1, float("inf"), float("nan")])
@pytest.mark.parametrize("name", ["max_body_mb", "max_megapixels"])
def test_limits_are_numbers(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match="choose a number above 0"):
        ServeConfig(**{name: value})


@pytest.mark.parametrize(
    "origin",
    ["*", "null", "dam.example.com", "https://dam.example.com/", "https://Dam.example.com",
     "https://a@dam.example.com", "https://dam.example.com:443", "https://", "https://a:b", ""],
)  # fmt: skip
def test_origins_are_written_as_browsers_send_them(origin: str) -> None:
    with pytest.raises(ConfigError, match="allow_origin"):
        ServeConfig(allow_origin=(origin,))


def test_origins() -> None:
    origins = ("https://dam.example.com", "http://localhost:3000", "chrome-extension://abc")
    assert ServeConfig(allow_origin=origins).allow_origin == origins


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("LOCALHOST", True), ("localhost.", True), ("::1", True), ("127.9.9.9", True),
     ("0.0.0.0", False), ("::", False), ("example.com", False)],
)  # fmt: skip
def test_loopback(host: str, loopback: bool) -> None:
    assert ServeConfig(host=host).loopback is loopback
