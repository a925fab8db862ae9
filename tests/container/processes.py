"""A server's processes: which there are, whether they run, and how much memory they hold."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

PATIENCE_S = 30.0  # far more than anything here takes


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE_S:.0f} s: {what}"
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    """Return whether a process runs or is stopped; a zombie is neither."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def children(pid: int) -> list[int]:
    """Return the direct children of a process, zombies among them."""
    return [child.pid for child in psutil.Process(pid).children()]


def family(pid: int) -> list[int]:
    """Return a process and its descendants."""
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]


def stop(pid: int) -> None:
    """Suspend a process, as if it hung."""
    process = psutil.Process(pid)
    process.suspend()
    wait_until(lambda: process.status() == psutil.STATUS_STOPPED, f"process {pid} stops")


def kill(pid: int) -> None:
    psutil.Process(pid).kill()
    wait_until_all_ended([pid])


def wait_until_all_ended(pids: Iterable[int]) -> None:
    for pid in pids:
        wait_until(lambda pid=pid: not is_alive(pid), f"process {pid} ends")  # type: ignore[misc]


def memory(pids: Iterable[int]) -> int:
    """Return the memory that processes hold together in bytes, shared pages counted once.

    Pages of files are left out: their share would grow when another process that maps them ends.
    """
    rollups = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in pids]
    return sum(int(rollup.partition("Pss_Anon:")[2].split()[0]) for rollup in rollups) * 1024


def peak_memory(pids: Iterable[int]) -> int:
    """Return the sum of the most memory that each process ever held, in bytes."""
    statuses = [Path(f"/proc/{pid}/status").read_text() for pid in pids]
    return sum(int(status.partition("VmHWM:")[2].split()[0]) for status in statuses) * 1024
