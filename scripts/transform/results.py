"""The results of a run in one file of JSON lines, CSV or Parquet: each image's key, its answer or problem."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from scripts.transform.run import Prefix, chunks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    Row = Mapping[str, Any]

FORMATS = ("jsonl", "csv", "parquet")
# The columns of CSV and Parquet in their order, and their types as pyarrow names them.
COLUMNS = {
    **dict.fromkeys(("key", "label"), "string"),
    "class": "int64",
    **dict.fromkeys(("probability", "threshold"), "float64"),
    **dict.fromkeys(("reliability", "reasons", "model_name", "model_version", "model_sha256"), "string"),
    "problem_status": "int64",
    **dict.fromkeys(("problem_title", "problem_detail"), "string"),
}
_ROW_GROUP = 10_000


def write(rows: Iterable[Row], output: Prefix | Path, form: str, *, s3: Any) -> str:
    """Write results as one file, which is there whole or not at all, and return its place."""
    name = f"results.{form}"
    local = None if isinstance(output, Prefix) else output
    if local:
        local.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".results-", dir=local) as folder:
        part = Path(folder) / name
        with part.open("wb") as file:
            if form == "jsonl":
                for row in rows:
                    file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
            else:
                _write_table(file, rows, form)
        if not isinstance(output, Prefix):
            part.replace(output / name)
            return str(output / name)
        s3.upload_file(str(part), output.bucket, output.prefix + name)
        return f"{output}{name}"


def _write_table(file: IO[bytes], rows: Iterable[Row], form: str) -> None:
    import pyarrow as pa  # noqa: PLC0415 - it comes with MLflow, in the layer train
    from pyarrow import csv, parquet  # noqa: PLC0415

    schema = pa.schema([(name, getattr(pa, type_)()) for name, type_ in COLUMNS.items()])
    open_ = csv.CSVWriter if form == "csv" else parquet.ParquetWriter
    with open_(file, schema) as table:
        for some in chunks((dict(_flat(row)) for row in rows), _ROW_GROUP):
            table.write_table(pa.Table.from_pylist(some, schema))


def _flat(row: Row) -> Iterator[tuple[str, Any]]:
    """Yield columns and their values; a member's own members are columns."""
    for name, value in row.items():
        if isinstance(value, dict):
            yield from ((f"{name}_{inner}", each) for inner, each in value.items())
        else:
            yield name, "; ".join(map(str, value)) if isinstance(value, list) else value
