"""What was tried and how it was answered: one row a kind of input, told at the end of the run."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from dataclasses import dataclass, field


@dataclass
class Row:
    """One kind of input."""

    statuses: Counter[int] = field(default_factory=Counter)
    worst_s: float = 0.0


class Figures:
    """Counts answers, and keeps what else is worth telling."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = defaultdict(Row)
        self.memory: dict[str, tuple[int, int]] = {}
        self._lock = threading.Lock()

    def count(self, kind: str, status: int, seconds: float) -> None:
        with self._lock:
            row = self.rows[kind]
            row.statuses[status] += 1
            row.worst_s = max(row.worst_s, seconds)

    def remember_memory(self, whose: str, before: int, after: int) -> None:
        self.memory[whose] = (before, after)

    def table(self) -> list[str]:
        """Return the lines to print; none where nothing was tried."""
        if not self.rows:
            return []
        lines = [f"{'inputs':<28}{'tried':>7}{'worst s':>9}  answers by status"]
        for kind, row in sorted(self.rows.items()):
            statuses = ", ".join(f"{status}: {count}" for status, count in sorted(row.statuses.items()))
            lines.append(f"{kind:<28}{row.statuses.total():>7}{row.worst_s:>9.2f}  {statuses}")
        lines += [
            f"memory of {whose}, MB (PSS): {before / 1e6:.1f} before, {after / 1e6:.1f} after"
            for whose, (before, after) in self.memory.items()
        ]
        return lines


FIGURES = Figures()  # of this run
