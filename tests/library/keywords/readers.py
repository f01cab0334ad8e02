"""Independent readers of metadata: ExifTool and exiv2."""

import atexit
import json
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

NEEDS_READERS = pytest.mark.skipif(
    shutil.which("exiftool") is None or shutil.which("exiv2") is None,
    reason="needs ExifTool and exiv2",
)

FIELDS = ("XMP-dc:Subject", "XMP-lr:HierarchicalSubject", "XMP-digiKam:TagsList",
          "XMP-microsoft:LastKeywordXMP")  # fmt: skip
EXIV2 = ("Xmp.dc.subject", "Xmp.lr.hierarchicalSubject", "Xmp.digiKam.TagsList",
         "Xmp.MicrosoftPhoto.LastKeywordXMP")  # fmt: skip


@cache
def _server() -> subprocess.Popen[str]:
    """ExifTool, waiting for commands: starting it takes longer than what it does."""
    server = subprocess.Popen(
        ["exiftool", "-stay_open", "True", "-@", "-"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    atexit.register(lambda: server.communicate("-stay_open\nFalse\n"))
    return server


def run_exiftool(*arguments: object) -> str:
    """Return what ExifTool prints for a command."""
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write("".join(f"{word}\n" for word in (*arguments, "-execute")))
    server.stdin.flush()
    lines = []
    while (line := server.stdout.readline()) != "{ready}\n":
        assert line, "ExifTool has ended"
        lines.append(line)
    return "".join(lines)


def exiftool(path: Path) -> dict[str, list[str]]:
    """Return the list-like tags that ExifTool reads, by their names with groups."""
    found = json.loads(run_exiftool("-j", "-G1", "-struct", path))[0]
    bad = [str(found[name]) for name in found if name.endswith((":Error", ":Warning"))]
    assert all(line.startswith("[minor]") for line in bad), bad
    return {
        name: [str(item) for item in (value if isinstance(value, list) else [value])]
        for name, value in found.items()
    }


def exiv2(path: Path) -> dict[str, list[str]]:
    """Return what exiv2 reads of FIELDS, by the names that ExifTool gives them."""
    command = ["exiv2", "-q", "-px", path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    lines = [line.split(maxsplit=3) for line in done.stdout.splitlines()]
    values = {line[0]: line[3].split(", ") for line in lines if len(line) == 4}
    return {ours: values[name] for ours, name in zip(FIELDS, EXIV2, strict=True) if name in values}


def same_in_all(path: Path, tags: list[str]) -> None:
    """Assert that both readers find the tags, without levels, in every field."""
    by_exiftool, by_exiv2 = exiftool(path), exiv2(path)
    for field in FIELDS:
        assert by_exiftool.get(field) == tags, field
        assert by_exiv2.get(field) == tags, field
