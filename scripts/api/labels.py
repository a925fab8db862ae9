"""Sends labels, which a CSV file holds by the ids of their requests, to a gateway."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

from scripts.api.gateway import request_threads
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
    """A row of the file that has a label."""

    line: int
    request_id: str
    label: str
    note: str


def read_labels(path: Path) -> list[Row]:
    """Return the rows that have a label; raise `DeliveryError` for a file that is none of labels."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:  # spreadsheets begin a file with a mark
            reader = csv.DictReader(file, restval="")
            if missing := [name for name in COLUMNS if name not in (reader.fieldnames or ())]:
                raise DeliveryError(f"{path} lacks the column {' and '.join(missing)} in its first line.")
            return [
                Row(reader.line_num, row["request_id"].strip(), label.upper(), row.get("note", "").strip())
                for row in reader
                if (label := row["label"].strip())
            ]
    except OSError as error:
        raise DeliveryError(f"{path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DeliveryError(f"{path} is not CSV in UTF-8: {error}") from error


def send_labels(client: Client, rows: Sequence[Row], *, parallel: int) -> Iterator[tuple[Row, str]]:
    """Send the labels, up to `parallel` at a time, and yield each row in order with what was wrong with it.

    Raises `DeliveryError` if the deployment takes no labels, or rejects the caller.
    """
    paths = client.openapi().get("paths")
    if not isinstance(paths, dict) or PATH not in paths:
        raise DeliveryError(f"{client.url} takes no labels: its environment's file has no [feedback].")
    with request_threads(client, parallel) as pool:
        yield from zip(rows, pool.map(lambda row: _send(client, row), rows), strict=True)


def _send(client: Client, row: Row) -> str:
    if row.label not in ("YES", "NO"):
        return "write YES or NO"
    try:
        client.label(row.request_id, cast("Literal['NO', 'YES']", row.label), row.note or None)
    except (UnauthorizedError, ForbiddenError) as error:
        raise DeliveryError(f"The gateway rejected the credentials: {error.problem.detail}") from error
    except ClientError as error:
        return str(error)
    return ""
