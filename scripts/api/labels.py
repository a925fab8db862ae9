"""Sends labels, which a CSV file holds by the ids of their requests, to a gateway."""

from __future__ import annotations

import csv
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

from scripts.client import ClientError, ForbiddenError, UnauthorizedError
from scripts.console import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from scripts.client import Client

COLUMNS = ("request_id", "label")  # and optionally a note; others are ignored, as `--format csv` writes them
PATH = "/predictions/{request_id}/label"


@dataclass(frozen=True)
class Row:
    """A row of the file that has a label: its line, and why it cannot be sent, if so."""

    line: int
    request_id: str
    label: str
    note: str | None
    error: str = ""


def read_labels(path: Path) -> list[Row]:
    """Return the rows that have a label.

    Raises
    ------
    DeliveryError
        If the file cannot be read, is not CSV in UTF-8, or lacks a column.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:  # spreadsheets begin a file with a mark
            reader = csv.DictReader(file, restval="")
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise DeliveryError(
                    f"{path} lacks the column {' and '.join(missing)}: its first line names them."
                )
            return [_row(reader.line_num, row) for row in reader if row["label"].strip()]
    except OSError as error:
        raise DeliveryError(f"{path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DeliveryError(f"{path} is not CSV in UTF-8: {error}") from error


def _row(line: int, row: dict[str, str]) -> Row:
    request_id, label, note = (row.get(name, "").strip() for name in (*COLUMNS, "note"))
    error = "" if label.upper() in ("YES", "NO") else f"the label is {label[:20]!r}: write YES or NO"
    return Row(line, request_id, label.upper(), note or None, error)


def send_labels(client: Client, rows: Sequence[Row], *, parallel: int) -> Iterator[tuple[Row, str]]:
    """Send the labels, up to `parallel` at a time, and yield each row in order with what was wrong with it.

    Raises
    ------
    DeliveryError
        If the deployment takes no labels, or rejects the caller.
    """
    paths = client.openapi().get("paths")
    if not isinstance(paths, dict) or PATH not in paths:
        raise DeliveryError(f"{client.url} takes no labels: its environment's file has no [feedback].")
    pool = ThreadPoolExecutor(parallel)
    try:
        yield from zip(rows, pool.map(lambda row: row.error or _send(client, row), rows), strict=True)
    except BaseException:
        client.close()  # otherwise Ctrl-C would wait for the requests in flight
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _send(client: Client, row: Row) -> str:
    try:
        client.label(row.request_id, cast("Literal['NO', 'YES']", row.label), row.note)
    except (UnauthorizedError, ForbiddenError) as error:
        raise DeliveryError(f"The gateway rejected the credentials: {error.problem.detail}") from error
    except ClientError as error:
        return str(error)
    return ""
