"""The output of `hangtag tag` as a Parquet file: what tags.jsonl holds, in columns."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

from hangtag.library.catalog_files import need_pyarrow
from hangtag.storage.files import atomic_path

_GROUP: Final = 8192  # designs in a row group: always the same, so that a merge has the same bytes
_MARK: Final = {"hangtag": "tags"}  # in the metadata of the file
_KINDS: Final = ("mark", "kind")  # of a tag, where it has them


def write_parquet(out: Path, records: Iterable[dict[str, Any]]) -> None:
    """Write the lines of a tags.jsonl as rows, with the columns `image` and `tags`.

    Raises MissingExtra without the `parquet` extra.
    """
    pa, pq = need_pyarrow()
    schema, rest = _schema(pa), iter(records)
    with atomic_path(out) as temporary, pq.ParquetWriter(temporary, schema) as file:
        while some := list(islice(rest, _GROUP)):
            file.write_table(pa.Table.from_pylist(some, schema), row_group_size=_GROUP)


def read_parquet(out: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of an output as the lines of a tags.jsonl. Raises MissingExtra."""
    _, pq = need_pyarrow()
    with pq.ParquetFile(out) as file:
        for batch in file.iter_batches(_GROUP):
            for row in batch.to_pylist():
                tags = [
                    {name: value for name, value in tag.items() if value is not None}
                    for tag in row["tags"]
                ]
                yield {"image": row["image"], "tags": tags}


def is_own_parquet(out: Path) -> bool:
    """Return whether `write_parquet` made a file. Raises MissingExtra."""
    pa, pq = need_pyarrow()
    try:
        found = pq.read_schema(out)
    except (pa.ArrowException, OSError, ValueError):
        return False
    own = _schema(pa)
    return bool(found.names == own.names and found.metadata == own.metadata)


def _schema(pa: Any) -> Any:
    texts = [(name, pa.string()) for name in _KINDS]
    tag = pa.struct([("tag", pa.string()), ("score", pa.float64()), *texts])
    return pa.schema([("image", pa.string()), ("tags", pa.list_(tag))], _MARK)
