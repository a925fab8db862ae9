"""What the system knows of a server's processes: which there are, how they are, what memory they hold."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

PATIENCE_S = 30.0  # far more than anything here takes


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE_S:.0f} s: {what}"
        time.sleep(0.01)


def status(pid: int) -> dict[str, str]:
    """The fields of /proc/PID/status; none for a process that is no more."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return {}
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def is_alive(pid: int) -> bool:
    """Whether it runs, or would if it were not stopped; a zombie does not."""
    return status(pid).get("State", "Z")[0] not in "ZX"


def children(pid: int) -> list[int]:
    """The processes that it has to wait for, zombies among them."""
    everyone = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [each for each in everyone if status(each).get("PPid") == str(pid)]


def family(pid: int) -> list[int]:
    """The process and all that descend from it."""
    return [pid, *(each for child in children(pid) for each in family(child))]


def stop(pid: int) -> None:
    """Have a process hang, wherever it is."""
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: status(pid)["State"].startswith("T"), f"process {pid} stops")


def kill(pid: int) -> None:
    """Kill a process, and wait until it holds nothing any more."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(pid), f"process {pid} ends")


def wait_until_all_ended(pids: Iterable[int]) -> None:
    for pid in pids:
        wait_until(lambda pid=pid: not is_alive(pid), f"process {pid} ends")  # type: ignore[misc]


def memory(pids: Iterable[int]) -> int:
    """The memory that processes hold together in bytes, what they share counted once (PSS)."""
    rollups = [Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines() for pid in pids]
    sizes = [line.split()[1] for rollup in rollups for line in rollup if line.startswith("Pss:")]
    assert len(sizes) == len(rollups)
    return sum(map(int, sizes)) * 1024


def peak_memory(pids: Iterable[int]) -> int:
    """The most memory that each of the processes ever held, summed up, in bytes."""
    return sum(int(status(pid)["VmHWM"].split()[0]) for pid in pids) * 1024
