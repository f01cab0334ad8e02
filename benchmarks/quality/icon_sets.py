"""Freely licensed drawings by others, from the npm registry, as one more library to pretrain on.

Iconify packs the icon sets of the web as SVG with names, categories, licence and author. A name is
what the drawing shows ("wolf-howl"), which makes its words tags. `pretrain.py` calls `write_sets`;
needs `npm`. Nothing that judges hangtag may be among them: no set that emoji and icons
were taken from, no drawing named like a held-out one, whoever drew it, and no
near-duplicate of any design that is judged.
"""

import csv
import hashlib
import json
import re
import subprocess
import tarfile
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from wordnet import WordNet

from hangtag.dataset.images import decode
from hangtag.errors import ImageError
from hangtag.library.fingerprints import FINGERPRINT_BYTES, fingerprint
from hangtag.library.near_duplicates import near_duplicate_groups

# What each set's licence may be (SPDX); the set itself says.
LICENCES = {"MIT", "Apache-2.0", "CC-BY-4.0", "CC-BY-3.0", "CC0-1.0", "ISC", "OFL-1.1"}
# The sets: which version, and what a name's end must be (+) or must not be (-), for most sets draw
# each thing several times.
SETS: dict[str, str] = {
    "game-icons": "1.2.4", "icon-park": "1.2.4", "flat-color-icons": "1.2.3",
    "fluent-color": "1.2.21", "mdi": "1.2.3 -outline", "tabler": "1.2.41 -filled",
    "healthicons": "1.2.13 -negative -outline -24px", "pinhead": "1.2.28", "temaki": "1.2.6",
    "maki": "1.2.5", "covid": "1.2.3", "medical-icon": "1.2.0", "streamline-color": "1.2.2",
    "streamline-ultimate-color": "1.2.2", "streamline-plump-color": "1.2.2",
    "streamline-freehand-color": "1.2.2", "streamline-flex-color": "1.2.2",
    "streamline-sharp-color": "1.2.2", "streamline-kameleon-color": "1.2.2",
    "streamline-cyber-color": "1.2.2", "streamline-pixel": "1.2.0",
    "streamline-stickies-color": "1.2.2", "marketeq": "1.2.2", "meteocons": "1.2.4",
    "solar": "1.2.13 +bold-duotone", "hugeicons": "1.2.35", "carbon": "1.2.29",
    "fluent": "1.2.60 +-24-filled", "material-symbols": "1.2.98 -outline -rounded -sharp",
    "whh": "1.2.0", "flag": "1.2.12 +-4x3", "circle-flags": "1.2.11", "flagpack": "1.2.8",
    "cif": "1.2.7", "vscode-icons": "1.2.97", "noto-v1": "1.2.5", "streamline-emojis": "1.2.4",
}  # fmt: skip
# Sets that name emoji by their code points.
CODED: dict[str, str] = {"twemoji": "1.2.5", "openmoji": "1.2.29"}
# A drawing of these must bear the name of an emoji that is learned from, to be known as none other.
EMOJI = ("noto-v1", "streamline-emojis")
FLAGS = ("flag", "circle-flags", "flagpack", "cif")
# Words that say how a thing is drawn, not what it is.
STYLE = {
    "outline", "outlined", "filled", "fill", "line", "linear", "bold", "duotone", "duo", "tone",
    "twotone", "rounded", "round", "sharp", "flat", "color", "regular", "light", "solid", "alt",
    "variant", "thin", "off", "px", "new", "basic", "remix", "the", "of", "and", "with", "for",
    "in", "on", "to", "at", "by", "from", "or", "skin",
}  # fmt: skip
INKS = ("#000000", "#c0392b", "#d35400", "#b7950b", "#1e8449", "#117a65", "#1f618d", "#6c3483",
        "#5d4037", "#616a6b", "#e84393", "#2c3e50")  # fmt: skip


def words(name: str) -> list[str]:
    """Return the words of an icon's name that say what it shows, in order."""
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)  # categories are often in camel case
    found = re.sub(r"[^a-z]+", " ", name.lower()).split()
    return [word for word in dict.fromkeys(found) if len(word) > 1 and word not in STYLE]


def key(name: str) -> str:
    """Return what two names of one thing share: the letters of their words in order."""
    return "".join(sorted(words(name)))


def run_together(name: str) -> str:
    """Return a name's letters, for sets that write names without a break."""
    return re.sub(r"[^a-z]", "", name.lower())


class Held:
    """The names and the looks of what judges hangtag, which must not be learned from."""

    def __init__(self, designs: Path, judged: Path, names: dict[str, list[str]]) -> None:
        """`judged`: a folder of images that only judge. `names`: from `emoji_names`."""
        self.held: set[str] = set()
        self.learned: set[str] = set()
        self.images = sorted(judged.rglob("*.png"))
        for library in ("emoji", "icons"):
            for row in catalog(designs / library / "designs.csv"):
                known = called(library, row, names)
                if library == "icons":
                    known = [*known, row["group"].removeprefix("icon:")]
                keys = {key(name) for name in known} | {run_together(name) for name in known}
                (self.learned if row["split"] == "train" else self.held).update(keys)
                if row["split"] != "train":
                    self.images.append(designs / library / row["image"])
        self.learned -= self.held

    def bars(self, icon_set: str, name: str) -> bool:
        keys = {key(name), run_together(name)}
        return bool(keys & self.held) or (icon_set in EMOJI and not keys & self.learned)


def catalog(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def called(library: str, row: dict[str, str], names: dict[str, list[str]]) -> list[str]:
    """Return the names of a design of emoji, by `names` from `emoji_names`, or of icons."""
    stem = Path(row["image"]).stem
    return names.get(plain_code(stem), []) if library == "emoji" else [stem]


def plain_code(code: str) -> str:
    """Strip the variation selector, which some vendors write and some do not."""
    return "-".join(part for part in code.lower().split("-") if part != "fe0f")


def emoji_names(work: Path) -> dict[str, list[str]]:
    """Return the names of every emoji by its code points, as two sets call it."""
    found: dict[str, list[str]] = defaultdict(list)
    for icon_set in CODED:
        for code, name in archive(icon_set, work)["chars"].items():
            found[plain_code(code)].append(name)
    return found


def archive(icon_set: str, work: Path) -> dict[str, Any]:
    """Fetch a set, unless it was, and return its JSON files by name."""
    work.mkdir(parents=True, exist_ok=True)
    version = (SETS | CODED)[icon_set].split()[0]
    packed = work / f"iconify-json-{icon_set}-{version}.tgz"
    if not packed.exists():
        package = f"@iconify-json/{icon_set}@{version}"
        command = ["npm", "pack", package, "--silent"]
        subprocess.run(command, cwd=work, check=True, stdout=subprocess.DEVNULL, timeout=600)
    found: dict[str, Any] = {"chars": {}, "metadata": {}}
    with tarfile.open(packed) as tar:
        for member in tar:
            name = Path(member.name)
            if name.suffix == ".json" and (file := tar.extractfile(member)):
                found[name.stem] = json.load(file)
    return found


def write_sets(held: Held, work: Path, net: WordNet) -> list[dict[str, str]]:
    """Write the drawings as SVG under `work`; return a catalog row for each."""
    # One drawing that two sets have stays twice: near-duplicates are grouped by pack.
    rows = [row for icon_set in SETS for row in _drawings(icon_set, held, work, net)]
    near = near_judged([row["image"] for row in rows], held.images)
    kept = [row for row, bad in zip(rows, near, strict=True) if not bad]
    print(
        f"{len(kept):,} drawings of {len(SETS)} sets; "
        f"{len(rows) - len(kept)} near-duplicates left out"
    )
    return kept


def _drawings(icon_set: str, held: Held, work: Path, net: WordNet) -> Iterator[dict[str, str]]:
    packed = archive(icon_set, work / "packages")
    icons, info = packed["icons"], packed["info"]
    licence = info["license"].get("spdx")
    assert licence in LICENCES, f"{icon_set}: {licence}"
    also: dict[str, list[str]] = defaultdict(list)
    for alias, how in icons.get("aliases", {}).items():
        if set(how) == {"parent"}:
            also[how["parent"]].append(alias)
    kinds: dict[str, list[str]] = defaultdict(list)
    for kind, names in packed["metadata"].get("categories", {}).items():
        for name in names:
            kinds[name].append(" ".join(words(kind)))
    ends = SETS[icon_set].split()[1:]
    folder = work / "svg" / icon_set
    folder.mkdir(parents=True, exist_ok=True)
    for name, icon in icons["icons"].items():
        if icon.get("hidden") or not _wanted(name, ends) or held.bars(icon_set, name):
            continue
        shown = words(name)
        if icon_set in FLAGS:
            country = name.removesuffix("-4x3")
            if not re.fullmatch("[a-z]{2}", country):
                continue
            shown = ["flag", f"flag of {country}"]
        if not shown or "brand" in shown or "tone" in re.split("[^a-z]+", name):
            continue
        named = [word for alias in also[name] for word in words(alias)]
        tags = dict.fromkeys([*shown, *named, *kinds[name], *net.kinds(shown)])
        path = folder / f"{name}.svg"
        path.write_text(_svg(icons, icon, name, monochrome=not info.get("palette")))
        yield {
            "image": str(path.resolve()),
            "tags": ";".join(tag for tag in tags if tag),
            "group": f"drawn {key(name) or name}",
            "vendor": icon_set,
            "split": "train",
        }


def _wanted(name: str, ends: list[str]) -> bool:
    wanted = tuple(end[1:] for end in ends if end[0] == "+")
    barred = tuple(end for end in ends if end[0] == "-")
    return (not wanted or name.endswith(wanted)) and not name.endswith(barred)


def _svg(icons: dict[str, Any], icon: dict[str, Any], name: str, monochrome: bool) -> str:
    box = [
        icon.get(side, icons.get(side, default))
        for side, default in (("left", 0), ("top", 0), ("width", 16), ("height", 16))
    ]
    number = hashlib.sha256(name.encode()).digest()[0]
    ink = INKS[number % len(INKS)] if monochrome and number >= 100 else INKS[0]
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="{" ".join(map(str, box))}" width="{box[2]}" height="{box[3]}" color="{ink}">'
        f"{icon['body']}</svg>"
    )


def near_judged(images: list[str], judged: list[Path]) -> list[bool]:
    """Return for each image whether it is a near-duplicate of a judged one.

    One that cannot be read is no near-duplicate; pack rejects it.
    """
    paths = [*images, *map(str, judged)]
    with ProcessPoolExecutor() as pool:
        prints = np.stack(list(pool.map(_print, paths, chunksize=256)))
    groups = near_duplicate_groups(prints)
    seen = set(groups[len(images) :].tolist())
    return [int(group) in seen for group in groups[: len(images)]]


def _print(path: str) -> NDArray[np.uint8]:
    try:
        return fingerprint(decode(Path(path).read_bytes(), 128))
    except ImageError:
        return np.zeros(FINGERPRINT_BYTES, np.uint8)
