"""The results of a run in one file of JSON lines, CSV or Parquet: each image's key, its answer or problem."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from scripts.transform.place import Prefix, chunks, mapped

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from scripts.transform.run import Run

    Row = Mapping[str, Any]

FORMATS = ("jsonl", "csv", "parquet")
# The columns of CSV and Parquet: where each is in an answer or a problem.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "key": ("key",),
    **{name: (name,) for name in ("label", "class", "probability", "threshold", "reliability", "reasons")},
    **{f"model_{name}": ("model", name) for name in ("name", "version", "sha256")},
    **{f"problem_{name}": ("problem", name) for name in ("status", "title", "detail")},
}
_NUMBERS = {"class": "int64", "probability": "float64", "threshold": "float64", "problem_status": "int64"}
_ROW_GROUP = 10_000


def rows(run: Run, shards: int, *, strip: str = "") -> Iterator[Row]:
    """Yield what is answered of every image, in the order of the keys, which are shown without `strip`."""
    for shard in range(1, shards + 1):
        keys = run.keys(shard)
        bodies = mapped(lambda key: run.answer(shard, key), keys)  # noqa: B023 - done before the next shard
        for key, body in zip(keys, bodies, strict=True):
            if body is not None:
                document = json.loads(body)
                found = document if "label" in document else {"problem": document}
                yield {"key": key.removeprefix(strip), **found}


def write(found: Iterator[Row], output: Prefix | Path, form: str, *, s3: Any) -> str:
    """Write results as one file, which is there whole or not at all, and return its place."""
    name = f"results.{form}"
    local = None if isinstance(output, Prefix) else output
    if local:
        local.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".results-", dir=local) as folder:
        part = Path(folder) / name
        with part.open("wb") as file:
            _WRITERS[form](file, found)
        if not isinstance(output, Prefix):
            part.replace(output / name)
            return str(output / name)
        s3.upload_file(str(part), output.bucket, output.prefix + name)
        return f"{output}{name}"


def _jsonl(file: IO[bytes], found: Iterator[Row]) -> None:
    for row in found:
        file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")


def _csv(file: IO[bytes], found: Iterator[Row]) -> None:
    with io.TextIOWrapper(file, encoding="utf-8", newline="") as text:
        writer = csv.DictWriter(text, COLUMNS)
        writer.writeheader()
        writer.writerows(map(_flat, found))


def _parquet(file: IO[bytes], found: Iterator[Row]) -> None:
    import pyarrow as pa  # noqa: PLC0415 - it comes with MLflow, in the layer train
    from pyarrow import parquet  # noqa: PLC0415

    schema = pa.schema([(name, getattr(pa, _NUMBERS.get(name, "string"))()) for name in COLUMNS])
    with parquet.ParquetWriter(file, schema) as writer:
        for some in chunks(map(_flat, found), _ROW_GROUP):
            writer.write_table(pa.Table.from_pylist(some, schema))


_WRITERS = {"jsonl": _jsonl, "csv": _csv, "parquet": _parquet}


def _flat(row: Row) -> Row:
    """Return a row by the columns of a table."""
    flat: dict[str, Any] = {}
    for column, (member, *inner) in COLUMNS.items():
        value = row.get(member)
        for name in inner:
            value = value.get(name) if value else None
        flat[column] = "; ".join(value) if isinstance(value, list) else value
    return flat
