"""Processes from `/proc`: who belongs to a server, what they have used, and how to end them all."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")
END_S = 10  # what a server gets to end by itself


@dataclass(frozen=True)
class Process:
    """One line of `/proc/PID/stat`, as far as it is of use here.

    Attributes
    ----------
    cpu_s
        Processor time of the process and of those children of its that have ended.
    """

    pid: int
    parent: int
    session: int
    cpu_s: float


def read_stat(text: str) -> Process:
    """Read the content of `/proc/PID/stat`; the name in it may hold spaces and brackets (proc(5))."""
    before, _, after = text.rpartition(")")
    fields = after.split()  # from the third on: state, parent, group, session, ...
    ticks = sum(int(field) for field in fields[11:15])  # utime, stime, cutime, cstime
    return Process(int(before.split(" ", 1)[0]), int(fields[1]), int(fields[3]), ticks / TICKS)


def everyone() -> dict[int, Process]:
    """All processes of the machine by their ids."""
    found = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it has ended meanwhile
                found[int(entry.name)] = read_stat((entry / "stat").read_text())
    return found


def family(root: int, among: Mapping[int, Process]) -> list[Process]:
    """Return a process with all that descend from it or share its session, if it leads one."""
    inside = {root} | {each.pid for each in among.values() if each.session == root}
    while True:
        grown = inside | {each.pid for each in among.values() if each.parent in inside}
        if grown == inside:
            return [among[pid] for pid in sorted(inside) if pid in among]
        inside = grown


def cpu_seconds(root: int) -> float:
    """Processor time that a process and its family have used so far."""
    return sum(each.cpu_s for each in family(root, everyone()))


def pss_bytes(root: int) -> int:
    """Memory of a process and its family, what they share counted once (proportional set size).

    Raises
    ------
    OSError
        Where a process of another user cannot be looked into.
    """
    total = 0
    for each in family(root, everyone()):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            total += read_pss((PROC / str(each.pid) / "smaps_rollup").read_text())
    return total


def read_pss(text: str) -> int:
    """Read the bytes after `Pss:` in `/proc/PID/smaps_rollup`, which are given in KiB."""
    line = next((line for line in text.splitlines() if line.startswith("Pss:")), "Pss: 0")
    return int(line.split()[1]) * 1024


def start(
    command: Sequence[str], *, variables: Mapping[str, str], folder: Path, log: Path
) -> subprocess.Popen[bytes]:
    """Start a process that leads a session of its own; all that it prints goes into a new file."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        return subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def end(process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> None:
    """End a process and its family: politely, and by force what is left of it after a while."""
    relatives = {each.pid for each in family(process.pid, everyone())}
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + END_S
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.poll()
    # What has left the family by its parent's end is still among those that were in it.
    _kill(relatives & {each.pid for each in everyone().values()})
    _kill(each.pid for each in family(process.pid, everyone()))
    process.wait()


def _kill(pids: Iterable[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
