"""Tags embedded in image files, read by ExifTool and taken back: is every byte as before?

    python benchmarks/embed.py --designs /usr/share/openclipart --out runs/embed

500 drawings of Debian's openclipart-png as PNG, and converted to JPEG, WebP (lossy and lossless)
and TIFF, with metadata of people that ExifTool writes into two of three: XMP, IPTC, EXIF, an ICC
profile, a comment. Embeds each drawing's own keywords as a model's, reads them with ExifTool,
compares what ExifTool reads besides and the pixels with those before, takes the tags back and
compares the bytes. exiv2 reads the same. Then 100 files that are damaged at random: each must be
left as it is, or come back exactly; so must the files of `--odd`, such as `t/images` of ExifTool's
repository, which have metadata of every kind. Needs ExifTool and exiv2 (Debian:
libimage-exiftool-perl, exiv2). Costs about three minutes of one core.
"""

import argparse
import hashlib
import json
import random
import shutil
import subprocess
import time
from collections import Counter
from pathlib import Path

from PIL import Image, ImageCms

from hangtag.errors import CatalogError
from hangtag.library.importers import import_catalog
from hangtag.library.keywords.embedded_tags import can_embed, untag_embedded, write_embedded
from hangtag.library.keywords.machine_tags import MachineTag, Which
from hangtag.library.keywords.xmp import embedded_keywords, read_keywords

FORMATS = ("png", "jpg", "webp", "webp lossless", "tif")
PEOPLE = (
    (),
    ("-XMP-dc:Subject=mine", "-XMP-dc:Subject=by hand", "-XMP-dc:Title=title"),
    ("-IPTC:Keywords=mine", "-IPTC:Headline=head", "-EXIF:Artist=somebody", "-Comment=note"),
)
FIELDS = (
    "XMP-lr:HierarchicalSubject", "XMP-digiKam:TagsList", "XMP-microsoft:LastKeywordXMP",
)  # fmt: skip
EXIV2 = ("Xmp.dc.subject", "Xmp.lr.hierarchicalSubject", "Xmp.digiKam.TagsList",
         "Xmp.MicrosoftPhoto.LastKeywordXMP")  # fmt: skip
# What tags change, and what ExifTool says about the file, its place and its build.
CHANGED = ("XMP-", "IPTC:Keywords", "System:", "ExifTool:", "SourceFile", "RIFF:", "File:FileType",
           "File:CurrentIPTCDigest", "Photoshop:IPTCDigest", "IFD0:ApplicationNotes",
           "MPImage")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--designs", type=Path, default=Path("/usr/share/openclipart"))
    parser.add_argument("--out", type=Path, default=Path("runs/embed"))
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--odd", type=Path, help="a folder of odd files")
    options = parser.parse_args()
    shutil.rmtree(options.out, ignore_errors=True)
    tags_of = make(options.designs, options.out, options.count)
    before = {path: state(path) for path in tags_of}
    people, seen = {path: embedded_keywords(path) for path in tags_of}, exiftool(options.out)
    started, refused = time.perf_counter(), Counter[str]()
    for path, tags in tags_of.items():
        try:
            write_embedded(path, [MachineTag(tag, 0.5, "clipart@0") for tag in tags])
        except CatalogError as error:
            refused[str(error).rpartition("(")[2].rstrip(")")] += 1
    seconds = time.perf_counter() - started
    print(f"{len(tags_of)} files in {seconds:.1f} s; left as they are: {dict(refused)}")
    report(tags_of, (people, seen), before, exiftool(options.out))
    complete = sum(by_exiv2(path) >= set(EXIV2) for path in tags_of)
    print(f"by exiv2: all fields: {complete} of {len(tags_of)}")
    for path in tags_of:
        untag_embedded(path, Which())
    differing = sum(state(path) != before[path] for path in tags_of)
    print(f"files that differ from before after untag: {differing}")
    damage(list(tags_of))
    if options.odd:
        odd(options.odd, options.out / "odd")


def make(designs: Path, out: Path, count: int) -> dict[Path, tuple[str, ...]]:
    """Return the paths of the copies, with the tags to embed."""
    catalog = import_catalog("openclipart", designs)
    chosen = [design for design in catalog if design.tags]
    chosen = random.Random(0).sample(chosen, count)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    out.mkdir(parents=True)
    tags_of, batches = {}, {number: [] for number in range(len(PEOPLE))}
    for number, design in enumerate(chosen):
        kind = FORMATS[number % len(FORMATS)]
        path = out / f"{number:03}.{kind.split()[0]}"
        if kind == "png":
            shutil.copy(catalog.location(design), path)
        else:
            with Image.open(catalog.location(design)) as image:
                image.thumbnail((512, 512))
                image.convert("RGB" if kind == "jpg" else "RGBA").save(
                    path, lossless=kind.endswith("lossless"), icc_profile=profile
                )
        batches[number // len(FORMATS) % len(PEOPLE)].append(path)
        tags_of[path] = design.tags
    for number, paths in batches.items():
        if PEOPLE[number]:
            command = ["exiftool", "-q", "-m", "-overwrite_original", *PEOPLE[number], *paths]
            subprocess.run(command, check=False, timeout=600)
    return tags_of


def exiftool(folder: Path) -> dict[str, dict]:
    command = ["exiftool", "-j", "-G1", folder]  # ends with 1 where some file is no image
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    return {Path(found["SourceFile"]).name: found for found in json.loads(done.stdout)}


def by_exiv2(path: Path) -> set[str]:
    """Return the names of the XMP properties that exiv2 reads."""
    command = ["exiv2", "-q", "-px", path]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return {line.split()[0] for line in done.stdout.splitlines() if line.startswith("Xmp.")}


def report(
    tags_of: dict[Path, tuple[str, ...]], old: tuple[dict, dict], before: dict, found: dict
) -> None:
    """Count the files in which all tags, other metadata and pixels are as they must be."""
    people, seen = old
    counts = Counter[str]()
    for path, tags in tags_of.items():
        after, earlier = found[path.name], seen[path.name]
        subjects = after.get("XMP-dc:Subject", [])
        subjects = subjects if isinstance(subjects, list) else [subjects]
        wanted = {" ".join(tag.casefold().split()) for tag in tags}
        is_complete = wanted <= {str(one).casefold() for one in subjects}
        counts["complete"] += is_complete and all(field in after for field in FIELDS)
        counts["others"] += rest(after) != rest(earlier)
        counts["warnings"] += bool(warnings(after) - warnings(earlier))
        counts["pixels"] += state(path)[1] != before[path][1]
        counts["people"] += embedded_keywords(path) != people[path]
    print(
        f"by ExifTool: all tags in all fields: {counts['complete']} of {len(tags_of)}; new"
        f" warnings: {counts['warnings']}; other metadata changed: {counts['others']}; pixels"
        f" changed: {counts['pixels']}; keywords of people changed: {counts['people']}"
    )


def warnings(found: dict) -> set[str]:
    texts = {str(text) for name, text in found.items() if name.endswith((":Warning", ":Error"))}
    return {text for text in texts if "xmlns:MicrosoftPhoto" not in text}  # of digiKam's files too


def rest(found: dict) -> dict:
    return {name: value for name, value in found.items() if not name.startswith(CHANGED)}


def state(path: Path) -> tuple[str, str]:
    """Return digests of a file's bytes and of its pixels."""
    with Image.open(path) as image:
        pixels = hashlib.sha256(image.convert("RGBA").tobytes()).hexdigest()
    return hashlib.sha256(path.read_bytes()).hexdigest(), pixels


def damage(paths: list[Path]) -> None:
    """Damage 100 files, embed and take back."""
    chance, outcome = random.Random(1), Counter[str]()
    for path in chance.sample(paths, min(100, len(paths))):
        data = bytearray(path.read_bytes())
        for _ in range(chance.randint(1, 8)):  # most of them in the headers
            data[chance.randrange(min(len(data), chance.choice((64, 600, len(data)))))] ^= 1 << 3
        old = bytes(data[: len(data) - chance.choice((0, 0, 1, 200))])
        path.write_bytes(old)
        try:
            write_embedded(path, [MachineTag("cat", 0.5, "clipart@0")])
        except CatalogError:
            outcome["left as it is" if path.read_bytes() == old else "CHANGED"] += 1
            continue
        untag_embedded(path, Which())
        outcome["tagged and taken back" if path.read_bytes() == old else "NOT TAKEN BACK"] += 1
    print(f"damaged files: {dict(outcome)}")


def odd(source: Path, folder: Path) -> None:
    """Embed into copies of odd files, read them with ExifTool, and take back."""
    folder.mkdir()
    copies = [Path(shutil.copy(path, folder)) for path in sorted(source.iterdir())
              if path.is_file() and path.stat().st_size]  # fmt: skip
    paths = [path for path in copies if can_embed(path)]
    old = {path: path.read_bytes() for path in paths}
    people, seen = {path: read_keywords(path).tags for path in paths}, exiftool(folder)
    outcome = Counter[str]()
    for path in list(paths):
        try:
            write_embedded(path, [MachineTag("hangtag's own", 0.5, "clipart@0")])
        except CatalogError:
            outcome["left as they are" if path.read_bytes() == old[path] else "CHANGED"] += 1
            paths.remove(path)
    found = exiftool(folder)
    for path in paths:
        after, earlier = found[path.name], seen[path.name]
        outcome["read"] += "hangtag's own" in str(after.get("XMP-dc:Subject"))
        outcome["others changed"] += rest(after) != rest(earlier)
        outcome["people changed"] += read_keywords(path).tags != people[path]
        outcome["warnings"] += bool(warnings(after) - warnings(earlier))
        untag_embedded(path, Which())
        outcome["back" if path.read_bytes() == old[path] else "NOT BACK"] += 1
    print(f"odd files: {len(old)} of {len(copies)}; {dict(outcome)}")


if __name__ == "__main__":
    main()
