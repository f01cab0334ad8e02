"""Designs, datasets and models in a bucket, through the command line."""

import hashlib
import io
import json
import shutil
import sys
import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from boto3.s3.transfer import TransferConfig

from hangtag.cli import app as cli
from hangtag.cli.addresses import fetched
from hangtag.errors import StorageError
from hangtag.library.catalog import Catalog
from hangtag.storage import download, s3, s3_requests
from hangtag.storage.addresses import mirror_of
from hangtag.storage.mirror import Mirror, unpacked
from hangtag.tagging.model_folder import ModelFolder
from tests.storage.conftest import Storage, put

DATASET = "s3://library/ic-multi-label"


def hangtag(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["hangtag", *map(str, arguments)])
    cli.main()


def keys(address: str) -> list[str]:
    return [item.key for item in s3.listed(address)]


def upload(library: Catalog, count: int = 30) -> Path:
    """Put a library's first designs into the bucket; return a catalog file with their rows."""
    for design in library.designs[:count]:
        put(f"s3://library/designs/{design.image}", Path(library.location(design)).read_bytes())
    lines = [f"designs/{design.image},{';'.join(design.tags)}" for design in library.designs]
    put("s3://library/designs.csv", ("\n".join(["image,tags", *lines[:count]]) + "\n").encode())
    return library.root / "designs.csv"


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_packing_from_a_bucket_is_packing_from_a_folder(
    library: Catalog, storage: Storage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Through faults: nothing lost, nothing packed twice, and every byte the same."""
    upload(library)
    local = tmp_path / "local"
    shutil.copytree(library.root, local / "designs")
    put_locally = s3.read("s3://library/designs.csv")
    (local / "designs.csv").write_bytes(put_locally)
    names = [design.image for design in library.designs]
    storage.faults = {
        names[1]: ["truncate", "stall"],
        names[2]: ["503", "500"],
        names[3]: ["garble"],
        names[4]: ["always truncate"],
    }
    storage.requests.clear()
    pack = ("pack", "s3://library/designs.csv", DATASET, "--min-count", 2, "--quiet")
    hangtag(monkeypatch, *pack)
    there = json.loads(s3.read(f"{DATASET}/dataset.json"))
    assert there["rejected"] == {"unreachable": 1}
    assert names[4] in s3.read(f"{DATASET}/rejected.csv").decode()
    storage.faults.clear()
    storage.requests.clear()
    hangtag(monkeypatch, *pack)
    there = json.loads(s3.read(f"{DATASET}/dataset.json"))
    assert there["rejected"] == {}
    assert sum(there["designs"].values()) == 30
    unchanged = [code for name in names[5:30] for code in storage.gets(name)]
    assert set(unchanged) == {304}
    hangtag(
        monkeypatch, "pack", local / "designs.csv", local / "packed", "--min-count", 2, "--quiet"
    )
    for name in ("training/train.rec", "validation/val.rec", "tags.json"):
        ours = hashlib.sha256(s3.read(f"{DATASET}/{name}")).hexdigest()
        assert ours == digest(local / "packed" / name), name
    rows = Catalog.read(mirror_of(DATASET) / "designs.jsonl")
    assert {design.image for design in rows} == {
        f"s3://library/designs/{name}" for name in names[:30]
    }


def test_errors_name_the_address(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put("s3://library/designs.csv", b"picture,tags\na.png,red\n")
    with pytest.raises(SystemExit):
        hangtag(monkeypatch, "pack", "s3://library/designs.csv", DATASET, "--quiet")
    assert capsys.readouterr().err.startswith("hangtag: s3://library/designs.csv")
    with pytest.raises(SystemExit):
        hangtag(monkeypatch, "salvage", "s3://library/none.rec", "s3://library/whole.rec")
    assert capsys.readouterr().err.startswith("hangtag: s3://library/none.rec")


def test_a_design_that_is_gone_costs_one_row(
    library: Catalog, storage: Storage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    upload(library, 12)
    lst = tmp_path / "train.lst"  # as older lists have it: a leading slash, blanks around the tabs
    rows = [f"{n} \t {n % 2}\t1 \t /designs/{d.image} " for n, d in enumerate(library.designs[:13])]
    lst.write_text("\n".join(rows) + "\n")
    (tmp_path / "tags.txt").write_text("odd\nall\n")
    catalog, packed = tmp_path / "designs.csv", tmp_path / "packed"
    hangtag(
        monkeypatch, "import", "lst", lst, "--tags-file", tmp_path / "tags.txt",
        "--images", "s3://library", "--out", catalog, "--quiet",
    )  # fmt: skip
    assert f"s3://library/designs/{library.designs[0].image}" in catalog.read_text()
    hangtag(monkeypatch, "pack", catalog, packed, "--min-count", 1, "--quiet")
    assert json.loads((packed / "dataset.json").read_text())["rejected"] == {"missing": 1}


def test_a_model_in_a_bucket_tags_designs_in_a_bucket(
    library: Catalog,
    work: Path,
    storage: Storage,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    upload(library, 8)
    put("s3://library/designs/.hidden.png", b"")
    put("s3://library/designs/readme.txt", b"")
    for path in (work / "model").rglob("*"):
        if path.is_file():
            put(f"s3://library/models/a/{path.relative_to(work / 'model')}", path.read_bytes())
    out = tmp_path / "tags.jsonl"
    tag = ("s3://library/designs", "--out", out, "--all", "--quiet")
    hangtag(monkeypatch, "tag", "s3://library/models/a", *tag)
    answers = [json.loads(line) for line in out.read_text().splitlines()]
    assert [answer["image"] for answer in answers] == [
        f"s3://library/designs/{design.image}" for design in library.designs[:8]
    ]
    # `--out=ADDRESS` is an address too.
    monkeypatch.chdir(tmp_path)
    hangtag(monkeypatch, "tag", "s3://library/models/a", tag[0], "--out=s3://library/out.jsonl",
            "--all", "--quiet")  # fmt: skip
    assert s3.read("s3://library/out.jsonl") == out.read_bytes()
    assert not (tmp_path / "s3:").exists()
    # The same folder, tarred as SageMaker does, gives the same answers.
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        tar.add(work / "model", ".")
    put("s3://library/job/output/model.tar.gz", packed.getvalue())
    out.unlink()
    hangtag(monkeypatch, "tag", "s3://library/job/output/model.tar.gz", *tag)
    assert [json.loads(line) for line in out.read_text().splitlines()] == answers
    with fetched({"start_from": Path("s3://library/job/output/model.tar.gz")}) as found:
        assert ModelFolder.open(found["start_from"]).weights.exists()


def test_many_that_want_one_archive_unpack_it_once(
    work: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HANGTAG_CACHE", str(tmp_path / "cache"))
    archive = tmp_path / "model.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(work / "model", ".")
    stale = unpacked(archive)
    stale.rename(stale.with_name(f".{stale.name}"))  # as a killed run leaves it
    (stale.with_name(f".{stale.name}") / "tags.json").write_text("half")
    with ThreadPoolExecutor(8) as pool:
        folders = set(pool.map(unpacked, [archive] * 8))
    assert folders == {stale}
    assert ModelFolder.open(stale).weights.exists()


def test_what_a_command_changes_is_written_back(
    work: Path,
    storage: Storage,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, folder in (("dataset", work / "dataset"), ("model", work / "model")):
        for path in folder.rglob("*"):
            if path.is_file() and path.name not in ("metrics.json", "report.html"):
                put(f"s3://library/{name}/{path.relative_to(folder)}", path.read_bytes())
    storage.requests.clear()
    hangtag(monkeypatch, "evaluate", "s3://library/model", "s3://library/dataset", "--quiet")
    assert "report: s3://library/model/report.html\n" in capsys.readouterr().out
    written = {path for verb, path, _ in storage.requests if verb == "PUT"}
    assert {"/library/model/metrics.json", "/library/model/report.html"} <= written
    assert not any(path.startswith("/library/dataset") for path in written)
    assert "/library/model/config.json" not in written


def test_only_what_changed_travels(storage: Storage) -> None:
    address = "s3://library/place"
    put(f"{address}/a.txt", b"a")
    put(f"{address}/sub/b.txt", b"b")
    put(f"{address}/dataset.json", b"{}")
    put(f"{address}/output/job/model.tar.gz", b"large")
    mirror = Mirror(address)
    mirror.pull()
    assert (mirror.local / "sub" / "b.txt").read_bytes() == b"b"
    assert not (mirror.local / "output").exists()
    (mirror.local / "a.txt").write_bytes(b"changed")
    (mirror.local / "sub" / "b.txt").unlink()
    (mirror.local / "c.txt").write_bytes(b"c")
    (mirror.local / ".part").write_bytes(b"hidden")
    mirror.push()
    assert [key.removeprefix("place/") for key in keys(address)] == [
        "a.txt", "c.txt", "dataset.json", "output/job/model.tar.gz",
    ]  # fmt: skip
    storage.requests.clear()
    again = Mirror(address)
    again.pull()
    again.push()
    assert not any(verb in ("PUT", "DELETE") for verb, _, _ in storage.requests)
    assert storage.gets("/place/a.txt") == []


def test_a_local_copy_that_is_lost_removes_nothing(storage: Storage) -> None:
    address = "s3://library/place"
    put(f"{address}/a.txt", b"a")
    mirror = Mirror(address)
    mirror.pull()
    shutil.rmtree(mirror.local)
    again = Mirror(address)
    again.pull()
    again.push()
    assert keys(address) == ["place/a.txt"]
    assert (mirror.local / "a.txt").read_bytes() == b"a"


def test_a_kill_before_the_state_was_noted_is_no_conflict(storage: Storage) -> None:
    """What has the same bytes on both sides is adopted, in one part or in several."""
    address = "s3://library/place"
    mirror = Mirror(address)
    mirror.local.mkdir(parents=True)
    (mirror.local / "a.txt").write_bytes(b"a")
    (mirror.local / "large.bin").write_bytes(bytes(range(256)) * 2**16)
    mirror.push()
    assert "-2" in (s3.head(f"{address}/large.bin") or s3.Object("", 0, "")).etag
    mirror._state_file.unlink()
    storage.requests.clear()
    again = Mirror(address)
    again.pull()
    again.push()
    assert not any(verb == "PUT" for verb, _, _ in storage.requests)
    assert storage.gets("/large.bin") == []
    (mirror.local / "a.txt").write_bytes(b"b")
    mirror._state_file.unlink()
    with pytest.raises(StorageError, match="which changed too"):
        Mirror(address).pull()


def test_an_upload_that_fails_does_not_forget_the_others(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = "s3://library/place"
    mirror = Mirror(address)
    mirror.local.mkdir(parents=True)
    for name in ("a.txt", "b.txt", "c.txt"):
        (mirror.local / name).write_text(name)
    upload = s3.upload
    # Those that have not begun would be given up for the one that fails.
    under_way = threading.Barrier(3)

    def breaks(path: Path, address: str) -> s3.Object:
        under_way.wait(30)
        if address.endswith("a.txt"):
            raise ConnectionError("broken off")
        return upload(path, address)

    with monkeypatch.context() as patch:
        patch.setattr(s3, "upload", breaks)
        with pytest.raises(ConnectionError):
            mirror.push()
    storage.requests.clear()
    again = Mirror(address)
    again.pull()
    again.push()
    assert keys(address) == ["place/a.txt", "place/b.txt", "place/c.txt"]
    assert [path for verb, path, _ in storage.requests if verb == "PUT"] == ["/library/place/a.txt"]


def test_two_processes_do_not_fetch_at_the_same_time(storage: Storage) -> None:
    mirror = Mirror("s3://library/place")
    order = []

    def other() -> None:
        with Mirror("s3://library/place").locked():
            order.append("other")

    with mirror.locked():
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(0.3)
        order.append("first")
    thread.join()
    assert order == ["first", "other"]


def test_changes_on_both_sides_are_not_mixed(storage: Storage) -> None:
    address = "s3://library/place"
    put(f"{address}/a.txt", b"a")
    mirror = Mirror(address)
    mirror.pull()
    (mirror.local / "a.txt").write_bytes(b"mine")
    put(f"{address}/a.txt", b"theirs")
    with pytest.raises(StorageError, match="which changed too"):
        Mirror(address).pull()
    (mirror.local / "a.txt").unlink()
    Mirror(address).pull()
    assert (mirror.local / "a.txt").read_bytes() == b"theirs"


def test_a_large_file_goes_on_where_a_killed_run_stopped(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "PART_BYTES", 1000)
    monkeypatch.setattr(download, "THREADS", 1)
    data = bytes(range(256)) * 20
    put("s3://library/place/large.bin", data)
    storage.faults["/large.bin"] = ["", "", "always truncate"]
    mirror = Mirror("s3://library/place")
    with pytest.raises(ConnectionError):
        mirror.pull()
    assert not (mirror.local / "large.bin").exists()
    storage.faults.clear()
    storage.requests.clear()
    Mirror("s3://library/place").pull()
    assert (mirror.local / "large.bin").read_bytes() == data
    assert len(storage.gets("/large.bin")) == 4  # of six parts
    assert [path.name for path in mirror.local.iterdir()] == ["large.bin"]


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "PART_BYTES", 1000)
    monkeypatch.setattr(download, "THREADS", 1)


def stopped_half_way(storage: Storage, data: bytes, *, parts: bool = False) -> Mirror:
    """Return a folder of one object, large.bin, of which some parts came before a kill."""
    if parts:
        config = TransferConfig(multipart_threshold=1, multipart_chunksize=5 * 2**20)
        s3_requests.client().upload_fileobj(
            io.BytesIO(data), "library", "place/large.bin", Config=config
        )
    else:
        put("s3://library/place/large.bin", data)
    storage.faults["/large.bin"] = ["", "", "always truncate"]
    mirror = Mirror("s3://library/place")
    with pytest.raises(ConnectionError):
        mirror.pull()
    storage.faults.clear()
    storage.requests.clear()
    return mirror


@pytest.mark.usefixtures("small_parts")
def test_an_object_that_changed_meanwhile_is_fetched_from_its_beginning(storage: Storage) -> None:
    mirror = stopped_half_way(storage, bytes(5000))
    put("s3://library/place/large.bin", b"\1" * 5000)  # of the same size
    Mirror("s3://library/place").pull()
    assert (mirror.local / "large.bin").read_bytes() == b"\1" * 5000
    assert [path.name for path in mirror.local.iterdir()] == ["large.bin"]


@pytest.mark.usefixtures("small_parts")
def test_an_object_that_changes_while_it_is_fetched_is_fetched_anew(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("s3://library/place/large.bin", bytes(5000))
    fetch, calls = download.Download.fetch, []

    def changing(job: download.Download, number: int) -> bool:
        calls.append(number)
        if len(calls) == 3:
            put("s3://library/place/large.bin", b"\2" * 7000)
        return fetch(job, number)

    monkeypatch.setattr(download.Download, "fetch", changing)
    mirror = Mirror("s3://library/place")
    mirror.pull()
    assert (mirror.local / "large.bin").read_bytes() == b"\2" * 7000
    assert [path.name for path in mirror.local.iterdir()] == ["large.bin"]

    def always_changing(job: download.Download, number: int) -> bool:
        calls.append(number)
        put(job.address, bytes(2000 + len(calls)))
        return fetch(job, number)

    monkeypatch.setattr(download.Download, "fetch", always_changing)
    put("s3://library/place/large.bin", bytes(3000))
    with pytest.raises(StorageError, match="changes, or arrives damaged"):
        Mirror("s3://library/place").pull()


@pytest.mark.parametrize("parts", [False, True])
def test_parts_that_are_damaged_on_the_disk_are_not_taken(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, parts: bool
) -> None:
    """Of the right size, as a lost page of a disk leaves them: the ETag shows it, also for an
    object that was written in parts of another size than boto3's own."""
    monkeypatch.setattr(download, "PART_BYTES", 2**20 if parts else 1000)
    monkeypatch.setattr(download, "THREADS", 1)
    data = bytes(range(256)) * (2**15 if parts else 20)
    mirror = stopped_half_way(storage, data, parts=parts)
    (part,) = mirror.local.glob(".*.part")
    part.write_bytes(bytes(10) + part.read_bytes()[10:])
    Mirror("s3://library/place").pull()
    assert (mirror.local / "large.bin").read_bytes() == data
    assert [path.name for path in mirror.local.iterdir()] == ["large.bin"]


@pytest.mark.usefixtures("small_parts")
def test_a_journal_without_its_parts_or_cut_in_a_line_is_not_used(storage: Storage) -> None:
    data = bytes(range(256)) * 20
    mirror = stopped_half_way(storage, data)
    (journal,) = mirror.local.glob(".*.parts")
    journal.write_text(journal.read_text() + "3")  # 35, say
    (part,) = mirror.local.glob(".*.part")
    part.unlink()
    Mirror("s3://library/place").pull()
    assert (mirror.local / "large.bin").read_bytes() == data


def test_a_folder_called_output_is_left_to_sagemaker_in_a_dataset_only(storage: Storage) -> None:
    put("s3://library/models/output/config.json", b"{}")
    put("s3://library/models/a/output/x.txt", b"x")
    models = Mirror("s3://library/models")
    models.pull()
    assert (models.local / "output" / "config.json").read_bytes() == b"{}"
    (models.local / "output" / "new.txt").write_text("new")
    models.push()
    assert "models/output/new.txt" in keys("s3://library/models")
    parts = "training/train-00000-of-00016.rec"
    for number, marker in enumerate(("dataset.json", "training/train.rec", parts)):
        put(f"s3://library/{number}/{marker}", b"{}")
        put(f"s3://library/{number}/output/job/model.tar.gz", b"large")
        mirror = Mirror(f"s3://library/{number}")
        mirror.pull()
        assert not (mirror.local / "output").exists()


def test_files_of_any_key_travel_both_ways(storage: Storage) -> None:
    address = "s3://library/50%20off? #1/caf\u00e9"
    odd = (
        "a//b.txt",
        "a%2Fb",
        "[1]*.txt",
        "a b+c?.txt",
        "..x/y".replace("..", "%"),
        "x" * 250,
        "e/%=",
    )
    for name in odd:
        put(f"{address}/{name}", name.encode())
    mirror = Mirror(address)
    mirror.pull()
    assert {
        path.read_bytes().decode() for path in mirror.local.rglob("*") if path.is_file()
    } == set(odd)
    for path in list(mirror.local.rglob("*")):
        if path.is_file():
            path.write_text("new")
    mirror.push()
    assert {s3.read(f"{address}/{name}") for name in odd} == {b"new"}
    assert len(keys(address)) == len(odd)
    again = Mirror(address)
    storage.requests.clear()
    again.pull()
    again.push()
    assert {verb for verb, _, _ in storage.requests} <= {"GET", "HEAD"}


def test_an_object_that_is_a_folder_too_is_named(storage: Storage) -> None:
    put("s3://library/place/a", b"1")
    put("s3://library/place/a/b", b"2")
    with pytest.raises(StorageError, match="place/a/b is below s3://library/place/a, which is"):
        Mirror("s3://library/place").pull()
    Mirror("s3://library/place/a").pull()
    with pytest.raises(StorageError, match="remove that copy"):
        Mirror("s3://library/place/a/b").pull()


@pytest.mark.parametrize("address", ["s3://library//a.csv", "s3://library/a/./b.csv"])
def test_an_address_that_would_be_folded_is_refused(
    storage: Storage,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    address: str,
) -> None:
    put("s3://library/a.csv", b"image,tags\na.png,red\n")
    put("s3://library/a/b.csv", b"image,tags\na.png,red\n")
    with pytest.raises(SystemExit):
        hangtag(monkeypatch, "pack", address, DATASET, "--quiet")
    assert capsys.readouterr().err.startswith(f"hangtag: {address}: // and . are not supported")


def test_an_address_cannot_lead_out_of_the_cache(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    put("s3://library/../../../stolen.csv", b"image,tags\ns3://library/a.png,red\n")
    before = {path for path in tmp_path.rglob("*") if "cache" not in path.parts}
    with pytest.raises(SystemExit):
        hangtag(monkeypatch, "pack", "s3://library/../../../stolen.csv", tmp_path / "d", "--quiet")
    assert mirror_of("s3://library/../../../stolen.csv").read_bytes().startswith(b"image")
    after = {path for path in tmp_path.rglob("*") if "cache" not in path.parts}
    assert {path for path in after - before if "d" not in path.parts} == set()


def test_a_library_is_not_taken_for_a_folder_of_ours(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hangtag.storage.mirror.MOST_OBJECTS", 3)
    for number in range(5):
        put(f"s3://library/designs/{number}.png", b"")
    with pytest.raises(StorageError, match="more than a dataset or model"):
        Mirror("s3://library/designs").pull()
