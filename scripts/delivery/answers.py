"""What was answered to each image, as a table to read, as CSV for a spreadsheet and as JSON for a program."""

from __future__ import annotations

import csv
import io
import json
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from scripts.client import Prediction, Problem

REFUSED = 422
# What a spreadsheet takes for the beginning of a formula, also in the full width of East Asian text:
# owasp.org/www-community/attacks/CSV_Injection. A mark before it makes it text.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001
COLUMNS = ("file", "answer", "probability", "threshold", "score", "score_threshold", "status", "detail",
           "model", "version", "sha256", "request_id")  # fmt: skip

Word = Literal["YES", "NO", "refused", "failed"]


@dataclass(frozen=True)
class Answer:
    """One image's outcome: a prediction, or the problem it was answered with, or why there is neither."""

    path: Path
    prediction: Prediction | None = None
    problem: Problem | None = None
    fault: str = ""

    @property
    def word(self) -> Word:
        """The answer in a word; that an image is no brain MRI is an answer too."""
        if self.prediction:
            return self.prediction.label
        return "refused" if self.problem and self.problem.status == REFUSED else "failed"

    @property
    def name(self) -> str:
        """The file's name as text, whatever bytes the file system holds for it."""
        return os.fsencode(self.path).decode("utf-8", "backslashreplace")

    @property
    def detail(self) -> str:
        """Why there is no prediction; empty where there is one."""
        return self.problem.detail if self.problem else self.fault


def table(answers: Sequence[Answer]) -> str:
    """Return columns for a terminal; what a file's name could do to one is written out."""
    rows = [("IMAGE", "ANSWER", "PROBABILITY", "THRESHOLD", "")]
    for answer in answers:
        told = answer.prediction
        numbers = (f"{told.probability:.4f}", f"{told.threshold:.4f}") if told else ("", "")
        rows.append((_printable(answer.name), answer.word, *numbers, _printable(answer.detail)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "".join(f"{line.rstrip()}\n" for line in lines)


def as_csv(answers: Iterable[Answer]) -> str:
    """Return RFC 4180's CSV with a row an image, in which no cell is a formula to a spreadsheet."""
    text = io.StringIO()
    rows = csv.DictWriter(text, COLUMNS)
    rows.writeheader()
    for answer in answers:
        rows.writerow({name: _cell(value) for name, value in _row(answer).items()})
    return text.getvalue()


def as_json(answers: Iterable[Answer]) -> str:
    """Return a list of objects: an image's file, its answer, and the prediction or the problem as it came."""
    return json.dumps([_object(answer) for answer in answers], indent=2) + "\n"


FORMATS: Mapping[str, Callable[[Sequence[Answer]], str]] = {"table": table, "json": as_json, "csv": as_csv}


def _row(answer: Answer) -> dict[str, object]:
    told, problem = answer.prediction, answer.problem
    row: dict[str, object] = {"file": answer.name, "answer": answer.word, "detail": answer.detail}
    if told:
        row |= {"probability": told.probability, "threshold": told.threshold, "status": 200}
        row |= {"model": told.model.name, "version": told.model.version, "sha256": told.model.sha256}
        row["request_id"] = told.request_id
    if problem:
        row |= {"score": problem.score, "score_threshold": problem.score_threshold}
        row |= {"status": problem.status, "request_id": problem.request_id}
    return row


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def _object(answer: Answer) -> dict[str, object]:
    made: dict[str, object] = {"file": answer.name, "answer": answer.word}
    if answer.prediction:
        made["prediction"] = _as_sent(answer.prediction)
    elif answer.problem:
        made["problem"] = _as_sent(answer.problem)
    else:
        made["fault"] = answer.fault
    return made


def _as_sent(told: Prediction | Problem) -> dict[str, object]:
    """Return the members by the contract's names, without those that did not come."""
    return {name.removesuffix("_"): value for name, value in asdict(told).items() if value is not None}


def _printable(text: str) -> str:
    shown = (char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    return "".join(shown)
