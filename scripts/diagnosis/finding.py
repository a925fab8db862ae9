"""Findings of the checks: each is named in faults.toml, which says what to do. Standard library only."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.console import DeliveryError, echo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    Found = tuple[str, Mapping[str, object]]  # a name of faults.toml, and the values for its text
    Check = Callable[[], Iterator[Found]]

FAULTS = tomllib.loads(Path(__file__).with_name("faults.toml").read_text(encoding="utf-8"))
_MARKS = {"ok": "✓", "warning": "!", "unknown": "?", "fault": "✗"}


@dataclass(frozen=True)
class Finding:
    """What a check found, and what to do about it."""

    check: str
    name: str = ""
    status: str = "ok"
    detail: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        rest = f": {self.detail}\n    {self.remedy}" if self.detail else ""
        return f"{_MARKS[self.status]} {self.check}{rest}"


def examine(checks: Mapping[str, Check]) -> list[Finding]:
    """Run checks by name; one that finds nothing is ok."""
    found = ((check, list(run())) for check, run in checks.items())
    return [
        finding
        for check, some in found
        for finding in [_finding(check, *each) for each in some] or [Finding(check)]
    ]


def _finding(check: str, name: str, values: Mapping[str, object]) -> Finding:
    text = {key: value.format(**values) for key, value in FAULTS[name].items()}
    return Finding(check, name, **text)


def refuse(findings: Sequence[Finding]) -> None:
    """Show what is no fault, and raise a `DeliveryError` with the faults."""
    faults = [str(each) for each in findings if each.status == "fault"]
    for each in findings:
        if each.status in ("warning", "unknown"):
            echo(str(each))
    if faults:
        raise DeliveryError("\n".join([*faults, "Nothing was changed. --skip-checks deploys anyway."]))
