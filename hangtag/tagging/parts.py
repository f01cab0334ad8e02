"""Tags of a library that several machines tagged, merged into one file.

hangtag tag MODEL LIBRARY --out tags.jsonl --shard 3/16
hangtag merge tags.jsonl
"""

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from hangtag.storage.files import atomic_path, refuse_foreign
from hangtag.storage.locks import only_writer
from hangtag.storage.parts import all_parts
from hangtag.tagging.bulk import BulkSummary
from hangtag.tagging.output import REJECTED, check_suffix, is_own_output, number_of_tags
from hangtag.tagging.parquet import read_parquet, write_parquet
from hangtag.tagging.seen import Seen, join_seen


def merge_tagged(out: Path, folders: Sequence[Path] = ()) -> BulkSummary:
    """Write `out` (.jsonl, .csv or .parquet) of its parts, byte for byte as one machine tags it.

    Parts are beside `out` and in `folders`, and stay there; the designs that could not be read are
    merged, too. Raises ConfigError where parts are missing or come from different models or
    options.
    """
    check_suffix(out, ", or the folder of a dataset")
    paths = all_parts(out, folders)
    seen = join_seen(paths)
    with only_writer(out.with_name(f".{out.name}.lock"), out):
        refuse_foreign(out, is_own_output, "hangtag tag")
        if out.suffix == ".parquet":
            write_parquet(out, (record for path in paths for record in read_parquet(path)))
        else:
            _concatenate(out, paths, has_header=out.suffix == ".csv")
        rejected = out.with_suffix(REJECTED)
        rejected.unlink(missing_ok=True)
        lists = [path.with_suffix(REJECTED) for path in paths]
        if lists := [path for path in lists if path.exists()]:
            _concatenate(rejected, lists, has_header=True)
        if seen is not None:
            Seen(seen.key, None, seen.designs).remember(out)
    tags = list(number_of_tags(out))
    return BulkSummary(len(tags), sum(tags), 0, _reasons(rejected))


def _concatenate(target: Path, paths: Sequence[Path], *, has_header: bool) -> None:
    """Write files one after the other; of a header only the first."""
    with atomic_path(target) as temporary, temporary.open("wb") as out:
        for number, path in enumerate(paths):
            with path.open("rb") as file:
                header = file.readline() if has_header else b""
                if number == 0:
                    out.write(header)
                while block := file.read(1 << 20):
                    out.write(block)


def _reasons(rejected: Path) -> dict[str, int]:
    if not rejected.exists():
        return {}
    with rejected.open(encoding="utf-8", newline="") as file:
        return dict(sorted(Counter(row["reason"] for row in csv.DictReader(file)).items()))
