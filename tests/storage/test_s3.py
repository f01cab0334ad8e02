"""Objects of a real server, through faults: whole and right, or one clear error."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends

from hangtag.dataset.config import PackConfig
from hangtag.dataset.pack import PackSummary, pack
from hangtag.errors import ConfigError, DatasetError, StorageError
from hangtag.library.catalog import Catalog, Design
from hangtag.storage import s3, s3_requests
from hangtag.storage.addresses import address_of, mirror_of, with_addresses
from hangtag.storage.download import download
from hangtag.storage.object_cache import ObjectCache
from hangtag.storage.reading import Source, etags, names_below, read_ahead
from tests.storage.conftest import Storage, put

ONE = "s3://library/folder/one.png"


def read(library: Catalog, design: Design) -> bytes:
    return Path(library.location(design)).read_bytes()


def test_an_unchanged_object_is_sent_once(storage: Storage) -> None:
    put(ONE, b"first")
    assert s3.read(ONE) == s3.read(ONE) == b"first"
    assert storage.gets("/one.png") == [200, 304]


def test_a_changed_object_is_read_anew(storage: Storage) -> None:
    put(ONE, b"first")
    s3.read(ONE)
    put(ONE, b"second")
    assert s3.read(ONE) == b"second"


@pytest.mark.parametrize("fault", ["500", "503", "truncate", "garble", "stall"])
def test_a_fault_that_passes_is_not_seen(storage: Storage, fault: str) -> None:
    put(ONE, b"0123456789" * 1000)
    storage.faults["/one.png"] = [fault]
    assert s3.read(ONE) == b"0123456789" * 1000
    assert len(storage.gets("/one.png")) == 2


@pytest.mark.parametrize("fault", ["truncate", "garble"])
def test_a_lasting_fault_is_reported(storage: Storage, fault: str) -> None:
    put(ONE, b"0123456789" * 1000)
    storage.faults["/one.png"] = [f"always {fault}"]
    with pytest.raises(ConnectionError, match=ONE):
        s3.read(ONE)


def test_what_is_missing_and_what_is_too_large(storage: Storage) -> None:
    put(ONE, b"12345")
    with pytest.raises(FileNotFoundError, match="no such object"):
        s3.read("s3://library/folder/none.png")
    with pytest.raises(OSError, match="over 0 MiB"):
        s3.read(ONE, limit=4)
    with pytest.raises(StorageError, match="no such bucket"):
        s3.read("s3://nowhere/one.png")
    with pytest.raises(StorageError, match="no bucket; write"):
        s3.read("s3:///one.png")


def test_missing_credentials_are_one_clear_line(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    before = s3_requests.client()
    s3_requests.client.cache_clear()
    with pytest.raises(StorageError, match=r"Unable to locate credentials$"):
        s3.read(ONE)
    s3_requests.client().close()
    s3_requests.client.cache_clear()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "anyone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "anything")
    before.close()


def test_a_listing_has_every_object_of_a_folder(storage: Storage) -> None:
    bucket = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]  # within the server: 1005 requests are slow
    for number in range(1005):  # a page has 1000
        bucket.put_object("library", f"many/{number:04d}.txt", b"")
    put("s3://library/many-others/1.txt", b"")
    put("s3://library/many/folder/", b"")
    storage.faults["/library"] = ["500", "stall"]
    assert [item.key for item in s3.listed("s3://library/many")] == [
        f"many/{number:04d}.txt" for number in range(1005)
    ]


def test_packing_notices_what_changed_in_a_bucket(
    storage: Storage, library: Catalog, tmp_path: Path
) -> None:
    first, *rest = library.designs[:40]
    for design in rest:
        put(f"s3://library/png/{design.image}", read(library, design))
    rows = [replace(design, image=f"s3://library/png/{design.image}") for design in (first, *rest)]
    catalog = Catalog(tuple(rows), tmp_path)

    def packed(**options: bool) -> PackSummary:
        return pack(catalog, tmp_path / "dataset", PackConfig(32, 3), workers=1, **options)

    assert packed().rejected == {"missing": 1}
    storage.requests.clear()
    assert packed().rejected == {"missing": 1}
    assert [path for _, path, _ in storage.requests] == ["/library"]  # one listing, and no object
    put(rows[0].image, read(library, first))
    with pytest.raises(DatasetError, match="--overwrite"):
        packed()
    assert packed(overwrite=True).rejected == {}
    put(rows[1].image, b"no image")
    assert packed(overwrite=True).rejected == {"unreadable": 1}


def test_a_bucket_that_may_be_read_but_not_listed_is_packed(
    storage: Storage, library: Catalog, tmp_path: Path
) -> None:
    designs = library.designs[:40]
    for design in designs:
        put(f"s3://library/png/{design.image}", read(library, design))
    rows = [replace(design, image=f"s3://library/png/{design.image}") for design in designs]
    storage.faults["/library"] = ["always 403"]
    summary = pack(
        Catalog(tuple(rows), tmp_path), tmp_path / "dataset", PackConfig(32, 3), workers=1
    )
    assert (sum(summary.designs.values()), summary.rejected) == (40, {})


def test_many_are_read_ahead_in_order(storage: Storage, tmp_path: Path) -> None:
    local = str(tmp_path / "local.png")
    addresses = [f"s3://library/{number}.png" for number in range(100)]
    for number, address in enumerate(addresses):
        put(address, str(number).encode())
    storage.faults = {"/7.png": ["always truncate"], "/8.png": ["stall"]}
    found = list(read_ahead([*addresses[:50], local, *addresses[50:], "s3://library/none.png"]))
    assert isinstance(found[7].error, ConnectionError)
    assert isinstance(found[-1].error, FileNotFoundError)
    assert found[50] == Source(local)
    rest = [source.data for source in found if source.data is not None]
    assert rest == [str(number).encode() for number in range(100) if number != 7]


def test_a_bucket_that_falls_silent_ends_the_run(storage: Storage) -> None:
    addresses = [f"s3://library/{number}.png" for number in range(200)]
    for address in addresses:
        put(address, b"12345678")
    storage.faults[".png"] = ["always truncate"]
    with pytest.raises(StorageError, match="same command again"):
        list(read_ahead(addresses))
    assert threading.active_count() < 100


@pytest.fixture
def black_hole(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """An endpoint that accepts every connection and never answers."""
    hole = socket.create_server(("127.0.0.1", 0), backlog=256)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{hole.getsockname()[1]}")
    before = s3_requests.client()
    s3_requests.client.cache_clear()
    yield hole
    s3_requests.client().close()
    s3_requests.client.cache_clear()
    s3_requests._endpoint.answered()
    before.close()
    hole.close()


def limit(monkeypatch: pytest.MonkeyPatch, scale: float) -> None:
    """Let every time limit of the module be that much shorter."""
    defaults = {
        "READ_SECONDS": 12,
        "CONNECT_SECONDS": 4,
        "PATIENCE_SECONDS": 25,
        "_DEAD_SECONDS": 10,
    }
    for name, seconds in defaults.items():
        monkeypatch.setattr(s3_requests, name, seconds * scale)
    pauses = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0)
    monkeypatch.setattr(s3_requests, "_PAUSES", tuple(pause * scale for pause in pauses))


@pytest.mark.parametrize("addresses", [1, 100])
def test_an_endpoint_that_never_answers_is_reported_within_a_minute(
    black_hole: socket.socket, monkeypatch: pytest.MonkeyPatch, addresses: int
) -> None:
    """At a tenth of all limits: within a few seconds, however many addresses wait."""
    limit(monkeypatch, 0.1)
    monkeypatch.setattr("hangtag.storage.reading._THREADS", 4)
    began = time.monotonic()
    wanted = [f"s3://library/{number}.png" for number in range(addresses)]
    read = s3.read if addresses == 1 else lambda _: list(read_ahead(wanted))
    with pytest.raises((ConnectionError, StorageError), match=r"library/\d+.png: (Read|no answer)"):
        read(wanted[0])
    assert time.monotonic() - began < 15  # 4, and what a busy machine adds


def test_a_closed_port_is_reported_within_a_minute_and_downloads_too(
    black_hole: socket.socket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    limit(monkeypatch, 0.1)
    black_hole.close()
    began = time.monotonic()
    with pytest.raises(ConnectionError, match="Could not connect"):
        list(s3.listed("s3://library/folder"))
    s3_requests._endpoint.answered()
    wanted = [
        (f"s3://library/{number}", s3.Object(f"{number}", 5, '"e"'), tmp_path / f"{number}")
        for number in range(100)
    ]
    with pytest.raises(ConnectionError):
        download(wanted, lambda found, path: None)
    (tmp_path / "file").write_bytes(b"12345")
    s3_requests._endpoint.answered()
    with pytest.raises(ConnectionError):
        s3.upload(tmp_path / "file", "s3://library/file")
    assert time.monotonic() - began < 30


def test_the_default_limits_add_up_to_less_than_a_minute() -> None:
    """A name of eight addresses, none of which takes the connection; or none that answers."""
    fresh = subprocess.run(
        [sys.executable, "-c", "from hangtag.storage import s3, s3_requests as r; print("
         "r.CONNECT_SECONDS, r.READ_SECONDS, r.PATIENCE_SECONDS, max(r._PAUSES),"
         " s3._UPLOAD_ATTEMPTS)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    connect, read, patience, pause, uploads = map(float, fresh.stdout.split())
    for attempt in (8 * connect, read):
        # The last attempt begins after a pause that begins before patience is over.
        assert patience + 0.75 * pause + attempt <= 64
    assert 2 * read + 1.5 + read <= 60
    assert uploads * read + 3 <= 60


def test_an_endpoint_that_comes_back_is_asked_again(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(ONE, b"1")
    s3_requests._endpoint.gave_no_answer()
    with pytest.raises(ConnectionError, match="no answer from S3 just now"):
        s3.read(ONE)
    endpoint = s3_requests._endpoint
    assert 0 < endpoint._silent_until - time.monotonic() <= s3_requests._DEAD_SECONDS
    monkeypatch.setattr(endpoint, "_silent_until", time.monotonic())
    assert s3.read(ONE) == b"1"


ODD_KEYS = (
    "50%20off.png", "a+b.png", "a?b=c.png", "a#b.png", " a  b .png", "a//b.png", "/a.png", "//a",
    "../up.png", "a/../../../up.png", "a/./b.png", "..", "a\\b.png", "C:\\x.png",
    "caf\u00e9 \u56f3.png", "cafe\u0301.png", "x" * 240 + ".png",
    "\u30c6" * 100 + "/" + "\u30c6" * 100, "%=a", "%=", "a%", "&amp;<x>'\"",
    "a\tb.png", "-a*[b].png", "con", "a.",
)  # fmt: skip


def test_every_key_can_be_written_listed_and_read(storage: Storage, tmp_path: Path) -> None:
    """As itself, whatever URLs, XML and file systems make of its characters."""
    (tmp_path / "new").write_bytes(b"new")
    for number, key in enumerate(ODD_KEYS):
        put(f"s3://library/odd/{key}", f"{number}".encode())
    prefix = "s3://library/odd"
    assert {item.key for item in s3.listed(prefix)} == {f"odd/{key}" for key in ODD_KEYS}
    assert set(names_below(prefix)) == set(names_below(f"{prefix}/")) == set(ODD_KEYS)
    found = list(read_ahead([f"{prefix}/{key}" for key in ODD_KEYS]))
    assert [source.data for source in found] == [
        f"{number}".encode() for number in range(len(ODD_KEYS))
    ]
    assert len(etags([f"{prefix}/{key}" for key in ODD_KEYS])) == len(ODD_KEYS)
    for key in ODD_KEYS[:8]:
        assert s3.upload(tmp_path / "new", f"{prefix}/{key}").size == 3
        assert s3.read(f"{prefix}/{key}") == b"new"
        s3.delete(f"{prefix}/{key}")
        assert s3.head(f"{prefix}/{key}") is None


def test_copies_of_keys_are_in_the_cache_and_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HANGTAG_CACHE", str(tmp_path / "cache"))
    top = tmp_path / "cache" / "s3"
    copies = {}
    for key in ODD_KEYS:
        address = f"s3://library/{key}"
        copies[mirror_of(address)] = address
        assert os.path.realpath(mirror_of(address)).startswith(f"{top}{os.sep}library{os.sep}")
        assert address_of(str(mirror_of(address))) == address
        mirror_of(address).parent.mkdir(parents=True, exist_ok=True)
        if not mirror_of(address).is_dir():
            mirror_of(address).write_bytes(b"1")
        assert with_addresses(f"see {mirror_of(address)}: it") == f"see {address}: it"
    assert len(copies) == len(ODD_KEYS)
    assert mirror_of("s3://../../etc/x").is_relative_to(top)
    # People find their files: what can be a name stays one.
    assert mirror_of("s3://b/50%20off [1].png") == top / "b" / "50%20off [1].png"


def test_the_cache_forgets_what_was_used_longest_ago(tmp_path: Path) -> None:
    cache = ObjectCache(tmp_path, limit=10_000)
    for number in range(9):
        cache.put(f"s3://b/{number}", f'"{number}"', bytes([number]) * 1000)
    kept = cache.get("s3://b/0")
    assert kept is not None
    assert (kept.etag, kept.data) == ('"0"', bytes(1000))
    for number in range(9, 20):
        cache.put(f"s3://b/{number}", f'"{number}"', bytes([number]) * 1000)
        assert cache.get("s3://b/0") is not None  # used all the time
    assert cache.get("s3://b/1") is None
    assert sum(path.stat().st_size for path in tmp_path.glob("*/*")) <= 10_000
    assert cache.get("s3://b/19") is not None


def test_a_damaged_cache_is_not_used(storage: Storage, tmp_path: Path) -> None:
    put(ONE, b"first")
    s3.read(ONE)
    (file,) = (tmp_path / "cache" / "objects").glob("*/*")
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    assert s3.read(ONE) == b"first"
    assert storage.gets("/one.png") == [200, 200]


def test_a_cache_of_no_size_is_refused(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANGTAG_CACHE_GIB", "much")
    with pytest.raises(ConfigError, match="give GiB"):
        s3.read(ONE)
