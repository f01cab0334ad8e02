"""Tags written into the metadata of a library and taken back: is every byte as before?

    python benchmarks/untag.py --designs /usr/share/openclipart --out runs/untag

Links the 8,000 drawings of Debian's openclipart-png, and writes the second half of each drawing's
own keywords as a model's tags; every other drawing has a sidecar of the first half before, in one
of the forms that programs write. Then takes back the tags below 0.5, all of them, and compares.
Costs six minutes of one core.
"""

import argparse
import hashlib
import shutil
import time
from itertools import islice
from pathlib import Path

from hangtag.library.importers import import_catalog
from hangtag.library.keywords.machine_tags import MachineTag, Which
from hangtag.library.keywords.xmp_sidecars import write_sidecar
from hangtag.tagging.designs import find_designs
from hangtag.tagging.untag import untag_library

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
FORMS = (
    "<dc:subject><rdf:Bag>{items}</rdf:Bag></dc:subject>",
    "\n   <dc:subject>\n    <rdf:Seq>\n     {items}\n    </rdf:Seq>\n   </dc:subject>\n  ",
    "<digiKam:TagsList><rdf:Seq>{items}</rdf:Seq></digiKam:TagsList>",
    "<dc:subject>{plain}</dc:subject>",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--designs", type=Path, default=Path("/usr/share/openclipart"))
    parser.add_argument("--out", type=Path, default=Path("runs/untag"))
    parser.add_argument("--count", type=int, help="of the drawings; by default all")
    options = parser.parse_args()
    shutil.rmtree(options.out, ignore_errors=True)
    catalog = import_catalog("openclipart", options.designs)
    tags_of = {}
    for number, design in enumerate(islice(catalog, options.count)):
        image = options.out / f"{number:05}.png"
        image.parent.mkdir(parents=True, exist_ok=True)
        image.symlink_to(catalog.location(design))
        half = len(design.tags) // 2
        tags_of[image] = design.tags[half:]
        if number % 2 and half:
            packet = sidecar(FORMS[number // 2 % len(FORMS)], design.tags[:half])
            image.with_name(image.name + ".xmp").write_text(packet, encoding="utf-8")
    before = contents(options.out)
    started = time.perf_counter()
    for image, tags in tags_of.items():
        marks = [MachineTag(tag, score(image, tag), "clipart@0") for tag in tags]
        write_sidecar(image, marks)
    seconds = time.perf_counter() - started
    written = contents(options.out)
    changed = sum(before.get(name) != data for name, data in written.items())
    print(f"{len(tags_of)} designs, {len(before)} sidecars of people; {changed} sidecars written in"
          f" {seconds:.1f} s")  # fmt: skip
    designs = find_designs([options.out])
    for which in (Which(below=0.5), Which()):
        started = time.perf_counter()
        found = untag_library(designs, which)
        seconds = time.perf_counter() - started
        print(f"taken back: {found.tags} tags of {found.untagged} designs in {seconds:.1f} s;"
              f" cut out: {found.edited}, failed: {found.failed}")  # fmt: skip
    after = contents(options.out)
    differing = sum(before.get(name) != after.get(name) for name in before.keys() | after.keys())
    print(f"sidecars that differ from before: {differing}")


def sidecar(form: str, tags: tuple[str, ...]) -> str:
    texts = [tag.replace("&", "&amp;").replace("<", "&lt;") for tag in tags]
    inside = form.format(items="".join(f"<rdf:li>{one}</rdf:li>" for one in texts),
                         plain=", ".join(texts))  # fmt: skip
    return (
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/">\n <rdf:RDF xmlns:rdf="{RDF}">\n  <rdf:Description'
        ' rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"'
        f' xmlns:digiKam="http://www.digikam.org/ns/1.0/">{inside}</rdf:Description>\n'
        " </rdf:RDF>\n</x:xmpmeta>\n"
    )


def score(image: Path, tag: str) -> float:
    return hashlib.sha256(f"{image.name} {tag}".encode()).digest()[0] / 255


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.xmp")}


if __name__ == "__main__":
    main()
