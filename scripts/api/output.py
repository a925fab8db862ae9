"""The outcomes of many images as a table to read, as CSV for a spreadsheet and as JSON for a program."""

from __future__ import annotations

import csv
import io
import json
import os
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from scripts.api.series import Image
    from scripts.client import Prediction, Problem

REFUSED = 422
# A spreadsheet evaluates text that begins like this, in the full width of East Asian text, too; a leading
# quote prevents it: owasp.org/www-community/attacks/CSV_Injection
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001
COLUMNS = ("file", "answer", "probability", "threshold", "score", "score_threshold", "status", "detail",
           "model", "version", "sha256", "request_id")  # fmt: skip
PLACE = ("series", "slice", "frame")  # further columns, which the page's table does not have

Answer = Literal["YES", "NO", "refused", "failed"]


@dataclass(frozen=True)
class Outcome:
    """What became of one image: a prediction, a problem, or an error on this side."""

    image: Image
    prediction: Prediction | None = None
    problem: Problem | None = None
    error: str = ""

    @property
    def answer(self) -> Answer:
        """The label, or why there is none; a refusal (no brain MRI) is an answer, not a failure."""
        if self.prediction:
            return self.prediction.label
        return "refused" if self.problem and self.problem.status == REFUSED else "failed"

    @property
    def name(self) -> str:
        """The file's name as text, even where its bytes are not UTF-8."""
        return os.fsencode(self.image.path).decode("utf-8", "backslashreplace")

    @property
    def place(self) -> dict[str, int]:
        """Where in which series the image is, as far as that applies."""
        numbers = {name: getattr(self.image, name) for name in PLACE}
        return {name: number for name, number in numbers.items() if number is not None}

    @property
    def detail(self) -> str:
        """Why there is no prediction, or why it is of low reliability; empty otherwise."""
        if self.prediction and self.prediction.reasons:
            return f"Low reliability: {' '.join(self.prediction.reasons)}"
        return self.problem.detail if self.problem else self.error


def as_table(outcomes: Sequence[Outcome]) -> str:
    """Return a line for each image, and for each series of several; unprintable characters are escaped."""
    series = _several(outcomes)
    rows = [("IMAGE", "ANSWER", "PROBABILITY", "THRESHOLD", "")]
    for outcome in outcomes:
        if outcome.image.series in series:
            continue
        found = outcome.prediction
        numbers = (f"{found.probability:.4f}", f"{found.threshold:.4f}") if found else ("", "")
        rows.append((_printable(outcome.name), outcome.answer, *numbers, _printable(outcome.detail)))
    return (_aligned(rows) if len(rows) > 1 or not series else "") + as_series(outcomes)


def as_series(outcomes: Iterable[Outcome]) -> str:
    """Return a line for each series of several slices: its answers, and the slice of highest probability."""
    rows: list[tuple[str, ...]] = [("SERIES", "SLICES", "YES", "REFUSED", "FAILED", "HIGHEST", "WHERE", "")]
    for number, slices in _several(outcomes).items():
        answers = Counter(outcome.answer for outcome in slices)
        counts = (len(slices), answers["YES"], answers["refused"], answers["failed"])
        found = {each.prediction.probability: each for each in reversed(slices) if each.prediction}
        top = found.get(max(found, default=0))
        where = (f"{max(found):.4f}", f"slice {top.image.slice}, {top.name}") if top else ("", "")
        reasons = Counter(outcome.detail for outcome in slices if not outcome.prediction)
        cells = (number, *counts, *where, *(reason for reason, _ in reasons.most_common(1)), "")
        rows.append(tuple(_printable(str(cell)) for cell in cells[: len(rows[0])]))
    return _aligned(rows) if len(rows) > 1 else ""


def as_csv(outcomes: Iterable[Outcome]) -> str:
    """Return CSV (RFC 4180) with one row per image and no cell that a spreadsheet would evaluate."""
    text = io.StringIO()
    writer = csv.DictWriter(text, (*COLUMNS, *PLACE), extrasaction="ignore")
    writer.writeheader()
    for outcome in outcomes:
        writer.writerow({name: _cell(value) for name, value in _row(outcome).items()})
    return text.getvalue()


def as_json(outcomes: Iterable[Outcome]) -> str:
    """Return a list of objects: file, answer, place, and the prediction, problem or (as `fault`) error."""
    return json.dumps([_object(outcome) for outcome in outcomes], indent=2) + "\n"


def as_members(received: Prediction | Problem) -> dict[str, object]:
    """Return the members by the contract's names, without the absent ones."""
    return {name.removesuffix("_"): value for name, value in asdict(received).items() if value is not None}


FORMATS: Mapping[str, Callable[[Sequence[Outcome]], str]] = {
    "table": as_table,
    "json": as_json,
    "csv": as_csv,
}


def _row(outcome: Outcome) -> dict[str, object]:
    row: dict[str, object] = {}
    if outcome.prediction:
        model = outcome.prediction.model
        row = {**as_members(outcome.prediction), **asdict(model), "model": model.name, "status": 200}
    elif outcome.problem:
        row = as_members(outcome.problem)
    return {**row, "file": outcome.name, "answer": outcome.answer, "detail": outcome.detail, **outcome.place}


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def _object(outcome: Outcome) -> dict[str, object]:
    made: dict[str, object] = {"file": outcome.name, "answer": outcome.answer, **outcome.place}
    if outcome.prediction:
        made["prediction"] = as_members(outcome.prediction)
    elif outcome.problem:
        made["problem"] = as_members(outcome.problem)
    else:
        made["fault"] = outcome.error
    return made


def _several(outcomes: Iterable[Outcome]) -> dict[int, list[Outcome]]:
    """Return the slices of each series that has several."""
    series: dict[int, list[Outcome]] = {}
    for outcome in outcomes:
        if outcome.image.series:
            series.setdefault(outcome.image.series, []).append(outcome)
    return {number: slices for number, slices in series.items() if len(slices) > 1}


def _aligned(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _printable(text: str) -> str:
    shown = (char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    return "".join(shown)
