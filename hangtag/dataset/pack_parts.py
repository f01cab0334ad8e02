"""A dataset packed by several machines: each decodes a part, one merges the parts.

    hangtag pack designs.csv DATASET --shard 3/16
    hangtag merge DATASET

Near-duplicates, splits and the vocabulary depend on all designs, so a part holds decoded designs
only: images in `.rec`, and in `.json` what else merging needs. The catalog itself is not needed.
"""

import json
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

from hangtag.console import note
from hangtag.dataset.config import PackConfig
from hangtag.dataset.dataset_folder import SHARDS_FOLDER
from hangtag.dataset.pack import (
    PackSummary,
    assembled,
    pack_key,
    packed_before,
    summary_of,
    vocabulary_of,
)
from hangtag.dataset.recordio import RecordReader, RecordWriter
from hangtag.dataset.shards import Prepared, Shard, Source, decode, decoding_key, sources_of
from hangtag.dataset.workers import UNREACHABLE
from hangtag.errors import DatasetError, Remedy
from hangtag.library.catalog import Catalog, Design
from hangtag.library.catalog_columns import COLUMNS
from hangtag.library.rules import Rules
from hangtag.storage.files import read_object, write_text
from hangtag.storage.locks import only_writer
from hangtag.storage.parts import Part, all_parts

FORMAT: Final = 1
NAME: Final = "pack.json"  # of a part: pack-00003-of-00016.json


def part_paths(folder: Path, part: Part) -> list[Path]:
    """Return the files of a part of the dataset `folder`; the last one marks it as whole."""
    path = part.beside(folder / SHARDS_FOLDER / NAME)
    return [path.with_suffix(suffix) for suffix in (".rec", ".idx", ".json")]


@dataclass(frozen=True)
class PartSummary:
    """What packing a part did."""

    path: Path
    """The part's file."""

    designs: int
    """Designs of the catalog in this part."""

    rejected: dict[str, int]
    """Those that cannot be decoded, per reason."""

    skipped: bool
    """Whether the part was there, and whole."""


def pack_part(
    catalog: Catalog,
    folder: Path,
    part: Part,
    config: PackConfig,
    rules: Rules,
    *,
    workers: int = 0,
    overwrite: bool = False,
) -> PartSummary:
    """Decode a part of a catalog into `folder`/shards; the same call again resumes a killed one.

    A part that is there and whole is skipped; after a change of tags, rules or split its images are
    kept. Raises DatasetError where the part was made of other files, unless `overwrite`, and
    VocabularyError and CatalogError.
    """
    path = part_paths(folder, part)[-1]
    vocabulary_of(rules, catalog, config)  # raises VocabularyError before hours of decoding
    own = Catalog(tuple(part.of(catalog.designs)), catalog.root)
    path.parent.mkdir(parents=True, exist_ok=True)
    with only_writer(path.with_name(f".{path.name}.lock"), path):
        plan = _plan_of(catalog, own, part, config, rules)
        found = _usable(path, plan, overwrite)
        if found is None:
            work = path.with_name(f".{path.stem}")
            shards = decode(work, config, plan.sources, workers)
            found = _gather(path.with_suffix(".rec"), shards)
            _write(path, plan, found)
            if not any(map(_is_unreachable, found)):
                shutil.rmtree(work, ignore_errors=True)  # of an empty part there is none
            return _summary(path, found, skipped=False)
        if _read(path).stored() != plan.stored():
            _write(path, plan, found)
        note(f"{path} is packed already")
        return _summary(path, found, skipped=True)


def merge_parts(
    folder: Path, folders: Sequence[Path] = (), *, overwrite: bool = False
) -> PackSummary:
    """Make DATASET/ of its parts, byte for byte as `pack` makes it of the whole catalog.

    Parts are in `folder`/shards and in `folders`, and stay there. Raises DatasetError where some
    are missing, differ in catalog or settings, or where the folder holds another dataset (unless
    `overwrite`).
    """
    paths = all_parts(folder / SHARDS_FOLDER / NAME, folders, DatasetError)
    plans = [_read(path) for path in paths]
    _check_alike(paths, plans)
    first = plans[0]
    catalog = Catalog(tuple(one for plan in plans for one in plan.designs), Path(first.root))
    if catalog.fingerprint() != first.catalog:
        raise DatasetError(f"{paths[0]} and the others do not make up the catalog they were made "
                           "of; pack the shards again")  # fmt: skip
    sources = [source for plan in plans for source in plan.sources]
    with only_writer(folder / ".lock", folder):
        key = pack_key(catalog, first.config, first.rules, sources)
        existing = packed_before(folder, key, overwrite)
        if existing is not None:
            return summary_of(folder, existing)
        prepared = Prepared()
        for path, plan in zip(paths, plans, strict=True):
            shard = Shard(path.with_suffix(""), 0, plan.sources, plan.key)
            if not shard.records.exists():
                raise DatasetError(f"{shard.records} is missing; copy it beside {path.name}")
            shard.read(Catalog(plan.designs, catalog.root), prepared)
        del sources, plans  # they are in the way of what assembling holds
        info = assembled(prepared, catalog, folder, first.config, first.rules, key)
        return summary_of(folder, info)


@dataclass(frozen=True, eq=False)
class _Plan:
    """What a part needs to know of the whole, and the designs in it."""

    part: Part
    catalog: str
    """Fingerprint of the whole catalog."""
    root: str
    config: PackConfig
    rules: Rules
    designs: tuple[Design, ...]
    sources: Sequence[Source]

    @cached_property
    def key(self) -> str:
        return decoding_key(self.sources, self.config)

    def shared(self) -> dict[str, Any]:
        """Return what all parts of a dataset have in common. Folders may differ by machine."""
        return {
            "format": FORMAT, "catalog": self.catalog, "config": asdict(self.config),
            "rules": self.rules.as_json(),
        }  # fmt: skip

    def stored(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        rows = list(map(attrgetter(*COLUMNS), self.designs))
        sources = [[one.location, one.version] for one in self.sources]
        plan = {
            **self.shared(), "shard": str(self.part), "root": self.root, "rows": rows,
            "sources": sources,
        }  # fmt: skip
        same: dict[str, Any] = json.loads(json.dumps(plan))
        return same


def _plan_of(catalog: Catalog, own: Catalog, part: Part, config: PackConfig, rules: Rules) -> _Plan:
    root = str(catalog.root)
    return _Plan(part, catalog.fingerprint(), root, config, rules, own.designs, sources_of(own))


def _read(path: Path) -> _Plan:
    stored = read_object(path, DatasetError)
    try:
        plan = stored["plan"]
        if plan["format"] != FORMAT:
            raise DatasetError(
                f"{path} has format {plan['format']}, this hangtag reads {FORMAT}; pack it again"
            )
        designs = tuple(
            Design(image, tuple(tags), tuple(not_tags), *rest)
            for image, tags, not_tags, *rest in plan["rows"]
        )
        return _Plan(
            Part.parse(plan["shard"]), plan["catalog"], plan["root"], PackConfig(**plan["config"]),
            Rules.from_json(plan["rules"]), designs, [Source(*one) for one in plan["sources"]],
        )  # fmt: skip
    except (KeyError, TypeError, ValueError) as cause:
        raise DatasetError(f"{path} is damaged ({cause!r}); pack the shard again") from cause


def _usable(path: Path, plan: _Plan, overwrite: bool) -> list[dict[str, str]] | None:
    """Return what an earlier run found out about the designs of a whole part, else None."""
    if not path.exists() or overwrite:
        return None
    stored = read_object(path, DatasetError)
    if stored.get("key") != plan.key:
        raise DatasetError(
            f"{path} was packed from another catalog, other files or other settings",
            remedy=Remedy.OVERWRITE,
        )
    found: list[dict[str, str]] = stored["designs"]
    whole = path.with_suffix(".rec").exists() and not any(map(_is_unreachable, found))
    return found if whole else None


def _gather(records: Path, shards: Iterable[Shard]) -> list[dict[str, str]]:
    """Write the images of shards into one file; return what was found out about their designs."""
    found: list[dict[str, str]] = []
    with RecordWriter(records) as writer:
        for shard in shards:
            with RecordReader(shard.records) as reader:
                for record in reader:
                    writer.write(record.key, 0.0, record.data, id=record.id)
            found += read_object(shard.findings, DatasetError)["designs"]
    return found


def _write(path: Path, plan: _Plan, found: list[dict[str, str]]) -> None:
    content = {"key": plan.key, "plan": plan.stored(), "designs": found}
    write_text(path, json.dumps(content))


def _is_unreachable(finding: dict[str, str]) -> bool:
    return finding.get("reason") == UNREACHABLE


def _summary(path: Path, found: list[dict[str, str]], *, skipped: bool) -> PartSummary:
    reasons = Counter(one["reason"] for one in found if "reason" in one)
    return PartSummary(path, len(found), dict(sorted(reasons.items())), skipped)


def _check_alike(paths: Sequence[Path], plans: Sequence[_Plan]) -> None:
    """Raise DatasetError where a part does not belong to the others."""
    for path, plan in zip(paths, plans, strict=True):
        if Part.parse(str(plan.part)).beside(path.with_name(NAME)).name != path.name:
            raise DatasetError(f"{path} is shard {plan.part} under another name; rename it")
        for name, value in plan.shared().items():
            if value != plans[0].shared()[name]:
                raise DatasetError(
                    f"{path} was packed with another {name} than {paths[0].name}; pack it again"
                )


def part_line(summary: PartSummary) -> str:
    """Return the closing line for a person."""
    line = f"{summary.designs:,} designs -> {summary.path}"
    if summary.rejected:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in summary.rejected.items())
        line += f"; cannot be decoded: {reasons}"
    if UNREACHABLE in summary.rejected:
        line += "; run the same command again to fetch the unreachable designs"
    return line
