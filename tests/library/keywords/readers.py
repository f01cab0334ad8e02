"""Independent readers of metadata: ExifTool and exiv2."""

import json
import subprocess
from pathlib import Path

FIELDS = ("XMP-dc:Subject", "XMP-lr:HierarchicalSubject", "XMP-digiKam:TagsList",
          "XMP-microsoft:LastKeywordXMP")  # fmt: skip
EXIV2 = ("Xmp.dc.subject", "Xmp.lr.hierarchicalSubject", "Xmp.digiKam.TagsList",
         "Xmp.MicrosoftPhoto.LastKeywordXMP")  # fmt: skip


def exiftool(path: Path) -> dict[str, list[str]]:
    """Return the list-like tags that ExifTool reads, by their names with groups."""
    command = ["exiftool", "-j", "-G1", "-struct", "-api", "LargeFileSupport=1", path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout)[0]
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
