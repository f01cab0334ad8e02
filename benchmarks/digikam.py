"""A real digiKam: which tags does it have after it has scanned designs with metadata of hangtag?

    apt-get install -y digikam xvfb dbus libqt5sql5-sqlite libimage-exiftool-perl
    python benchmarks/digikam.py --designs /usr/share/openclipart

Copies 480 drawings of Debian's openclipart-png as PNG, JPEG, WebP and TIFF, gives two of three some
metadata of people, inside or in a sidecar, and writes each drawing's own keywords and its folders
(`animals/birds`) as a model's tags, into sidecars or into the files. Then digiKam scans the folder
without a screen, and the tags in its database are compared with what was written, with all their
levels. Then all tags are taken back, and a new digiKam must know those of people alone. Costs four
minutes of one core.
"""

import argparse
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from PIL import Image

from hangtag.library.importers import import_catalog
from hangtag.library.keywords.embedded_tags import untag_embedded, write_tags
from hangtag.library.keywords.machine_tags import MachineTag, Which
from hangtag.library.keywords.xmp_sidecars import untag_sidecars
from hangtag.library.rules import normalise_tag

LONGEST = 300.0  # seconds for digiKam to start, or to scan
FORMATS = ("png", "jpg", "webp", "tif")
# What people have before, by ExifTool: nothing, keywords without levels, with levels; the tags that
# digiKam shall know of them.
PEOPLE: tuple[tuple[tuple[str, ...], frozenset[str]], ...] = (
    ((), frozenset()),
    (("-XMP-dc:Subject=mine", "-XMP-dc:Subject=by hand"), frozenset(("mine", "by hand"))),
    (
        ("-XMP-lr:HierarchicalSubject=kept|mine", "-XMP-dc:Subject=mine"),
        frozenset(("kept/mine",)),
    ),
    (("-XMP-digiKam:TagsList=kept/by hand", "-XMP-xmp:Rating=3"), frozenset(("kept/by hand",))),
)
# Where people's metadata is, and where the model's tags go.
PLACES = ("inside", "inside, to sidecar", "inside, to rated sidecar", "sidecar", "sidecar, to both")
RC = """\
[General Settings]
Version=7.9.0
Scan At Start=true

[Album Settings]
Show Splash=false

[Metadata Settings]
Use XMP Sidecar For Reading=true
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--designs", type=Path, default=Path("/usr/share/openclipart"))
    parser.add_argument("--count", type=int, default=480)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "library"
        people, written = make(options.designs, library, options.count)
        report("written", scanned(library, Path(folder) / "first"), people, written)
        for path in people:
            untag_sidecars(library / path, Which())
            untag_embedded(library / path, Which())
        nothing = dict.fromkeys(written, frozenset[str]())
        report("taken back", scanned(library, Path(folder) / "second"), people, nothing)


Tags = dict[str, frozenset[str]]
"""Paths of tags by the path of an image below the library."""


def make(designs: Path, library: Path, count: int) -> tuple[Tags, Tags]:
    """Return the tags of people and those written as a model's, both as digiKam shall show them."""
    catalog = import_catalog("openclipart", designs)
    # Of equal files, digiKam gives the tags of one to the others.
    different = {Path(catalog.location(one)).read_bytes(): one for one in catalog if one.tags}
    people: Tags = {}
    written: Tags = {}
    for number, design in enumerate(random.Random(0).sample([*different.values()], count)):
        kind = FORMATS[number % len(FORMATS)]
        of_people = PEOPLE[number // len(FORMATS) % len(PEOPLE)]
        place = PLACES[number // len(FORMATS) // len(PEOPLE) % len(PLACES)]
        name = f"{place}/{number:03}.{kind}"
        image = library / name
        image.parent.mkdir(parents=True, exist_ok=True)
        copy(Path(catalog.location(design)), image)
        if of_people[0]:
            target = image.with_name(image.name + ".xmp") if place[:7] == "sidecar" else image
            command = ["exiftool", "-q", "-m", "-overwrite_original", *of_people[0], target]
            subprocess.run(command, check=True, timeout=60)
        if "rated" in place:
            sidecar = image.with_name(image.name + ".xmp")
            subprocess.run(["exiftool", "-q", "-XMP-xmp:Rating=4", sidecar], check=True, timeout=60)
        levels = tuple(Path(design.image).parent.parts[-2:])
        marks = [MachineTag(tag, 0.5, "clipart@0") for tag in design.tags]
        marks.append(MachineTag("/".join(levels), 0.5, "clipart@0", levels))
        write_tags(image, marks, embed=place in ("inside", "sidecar, to both"))
        people[name] = of_people[1]
        written[name] = frozenset("/".join(mark.path) for mark in marks)
    return people, written


def copy(source: Path, target: Path) -> None:
    if target.suffix == ".png":
        shutil.copy(source, target)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about palettes
        with Image.open(source) as image:
            small = image.convert("RGBA")
    small.thumbnail((256, 256))
    if target.suffix == ".jpg":
        small = Image.alpha_composite(Image.new("RGBA", small.size, "white"), small).convert("RGB")
    small.save(target)


def scanned(library: Path, home: Path) -> Tags:
    """Let a new digiKam scan a library; return the tags in its database."""
    (home / ".config").mkdir(parents=True)
    (home / "run").mkdir(mode=0o700)
    (home / ".config" / "digikamrc").write_text(RC)
    database = home / "digikam4.db"
    database.touch()  # otherwise digiKam asks where it is
    run_digikam(home, lambda log: "AlbumRoots" in tables(database))
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(
            "INSERT INTO AlbumRoots (label, status, type, identifier, specificPath)"
            " VALUES ('library', 0, 1, ?, '/')", (f"volumeid:?path={library}",),
        )  # fmt: skip
    run_digikam(home, lambda log: "Complete scan took" in log)
    with closing(sqlite3.connect(database)) as connection:
        return tags_in(connection)


def run_digikam(home: Path, is_done: Callable[[str], bool]) -> None:
    """Run digiKam without a screen until something is done."""
    environment = {
        **os.environ, "HOME": str(home), "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_DATA_HOME": str(home / "data"), "XDG_CACHE_HOME": str(home / "cache"),
        "XDG_RUNTIME_DIR": str(home / "run"), "LC_ALL": "C.UTF-8",
        "QT_LOGGING_RULES": "digikam.database=true", "QTWEBENGINE_DISABLE_SANDBOX": "1",
    }  # fmt: skip
    command = ["xvfb-run", "-a", "dbus-run-session", "digikam", "--database-directory", home]
    log = home / "log.txt"
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=file, env=environment, start_new_session=True
        )
    try:
        end = time.monotonic() + LONGEST
        while not is_done(log.read_text(errors="replace")):
            if time.monotonic() > end or process.poll() is not None:
                raise SystemExit(f"digiKam ended or hangs; its log is\n{log.read_text()[-2000:]}")
            time.sleep(0.5)
        time.sleep(2)  # for what else it writes
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=30)


def tables(database: Path) -> set[str]:
    with closing(sqlite3.connect(database)) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}


def tags_in(connection: sqlite3.Connection) -> Tags:
    tags = {
        number: (above, name)
        for number, above, name in connection.execute("SELECT id, pid, name FROM Tags")
    }

    def path(number: int) -> str:
        above, name = tags[number]
        return f"{path(above)}/{name}" if above else str(name)

    found: dict[str, set[str]] = {}
    rows = connection.execute(
        "SELECT relativePath, Images.name, tagid FROM Images JOIN Albums ON Albums.id = album"
        " LEFT JOIN ImageTags ON imageid = Images.id"
    )
    for folder, name, tag in rows:
        of_image = found.setdefault(f"{folder}/{name}".lstrip("/"), set())
        if tag is not None and not path(tag).startswith("_Digikam_"):
            of_image.add(path(tag))
    return {name: frozenset(paths) for name, paths in found.items()}


def report(title: str, found: Tags, people: Tags, written: Tags) -> None:
    """Print how many images have exactly the tags that they shall have."""
    right, wrong = Counter[str](), []
    for name, of_people in people.items():
        have = {normalise_tag(tag) for tag in of_people}
        flat = {tag.rpartition("/")[2] for tag in have} | have
        model = {normalise_tag(tag) for tag in written[name]}
        wanted = have | {tag for tag in model if tag not in flat}
        got = {normalise_tag(tag) for tag in found.get(name, ())}
        lacks = {tag for tag in wanted if not any(is_at(tag, one) for one in got)}
        surplus = {one for one in got if not any(is_at(tag, one) for tag in wanted)}
        right[name.partition("/")[0]] += not (lacks or surplus)
        if lacks or surplus:
            wrong.append(f"  {name}: lacks {sorted(lacks)}, has {sorted(surplus)}")
    total = Counter(name.partition("/")[0] for name in people)
    print(f"{title}: {right.total()} of {total.total()} images have exactly their tags in digiKam;",
          ", ".join(f"{place}: {right[place]} of {total[place]}" for place in total))  # fmt: skip
    print(*wrong[:20], sep="\n")


def is_at(tag: str, path: str) -> bool:
    """Return whether digiKam may have a tag at a path.

    It puts a keyword without levels below others if it has one of that name there, and has no empty
    levels.
    """
    return path in (tag, tag.replace("//", "/")) or ("/" not in tag and path.endswith(f"/{tag}"))


if __name__ == "__main__":
    main()
