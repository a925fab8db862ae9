"""Where a request's time goes: the phases that our server logs of each, in microseconds."""

from __future__ import annotations

import json
import statistics
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scripts.benchmark.servers import Server

FIELDS = ("read_us", "queue_us", "decode_us", "inference_us", "write_us")
WRITTEN_S = 0.2  # by then the lines of the last requests are in the log


class Log:
    """The log of a server, of which the lines since the last `skip` are looked at."""

    def __init__(self, server: Server) -> None:
        self._path = server.log
        self._from = 0

    def skip(self) -> None:
        """Leave out what has been written so far."""
        self._from = self._path.stat().st_size if self._path.is_file() else 0

    def medians(self) -> dict[str, float]:
        """Median of each phase over the requests logged since the last `skip`."""
        if not self._path.is_file():
            return {}
        time.sleep(WRITTEN_S)
        with self._path.open("rb") as log:
            log.seek(self._from)
            return medians(line.decode(errors="replace") for line in log)


def medians(lines: Iterable[str]) -> dict[str, float]:
    """Median of each phase over lines of a log; lines without phases, or broken ones, do not count."""
    found: dict[str, list[float]] = {name: [] for name in FIELDS}
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and entry.get("path") == "/invocations":
            for name in FIELDS:
                if isinstance(entry.get(name), int | float):
                    found[name].append(float(entry[name]))
    return {name: statistics.median(values) for name, values in found.items() if values}
