"""Media types in any case, with parameters and qualities."""

import pytest

from hangtag.service.media_types import media_type, parameter, preferred

JSON, LINES = "application/json", "application/jsonlines"


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", JSON), ("*/*", JSON), ("application/*", JSON), ("text/html", JSON),
        (LINES, LINES), ("Application/JsonLines", LINES), (f" {LINES} ; charset=utf-8", LINES),
        (f"{LINES};q=0.9", LINES), (f"{LINES}; Q=0.9, text/html", LINES),
        (f"{LINES}, */*;q=0.5", LINES), (f"*/*, {LINES}", LINES),
        (f"*/*;q=0.9, {LINES};q=0.1", JSON),
        (f"{LINES};q=0.9, {JSON}", JSON), (f"{LINES}, {JSON};q=0.9", LINES),
        (f"{LINES}, {JSON}", LINES), (f"{JSON}, {LINES}", JSON),
        (f"{LINES};q=0", JSON), (f"{JSON};q=0, {LINES}", LINES), (f"{JSON};q=0, */*", LINES),
        (f"text/csv, {LINES};q=0.001", LINES), (f"{LINES};q=x", LINES),
        (f'text/plain;title="a, {JSON}";q=0.2, {LINES};q=0.1', LINES),
        ("application/jsonlinesx", JSON), (f"x{LINES}", JSON), (",;,q=1", JSON),
    ],
)  # fmt: skip
def test_what_a_client_prefers(accept: str, kind: str) -> None:
    assert preferred(accept, (JSON, LINES)) == kind


def test_types_are_compared_in_any_case() -> None:
    assert media_type(" IMAGE/Png ; Q=1") == "image/png"
    assert media_type(None) == media_type("") == ""
    assert parameter('Multipart/Form-Data; X=1; Boundary="a;B"', "boundary") == "a;B"
    assert parameter("multipart/form-data", "boundary") is None
