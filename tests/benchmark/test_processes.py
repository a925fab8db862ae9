"""Who belongs to a server, what they use, and that none of them outlives it."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scripts.benchmark import processes, quiet
from scripts.benchmark.places import CORES
from scripts.benchmark.processes import Process

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

# A parent with a child and a grandchild; the child ignores SIGTERM, all use some processor time.
FAMILY = """
import os, signal, subprocess, sys, time
depth = int(sys.argv[1])
if depth == 1:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, __file__, str(depth + 1)]) if depth < 2 else None
end = time.process_time() + 0.2
while time.process_time() < end:
    pass
print("used", flush=True)
time.sleep(60)
"""


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    script, log = tmp_path / "family.py", tmp_path / "log"
    script.write_text(FAMILY)
    process = processes.start([sys.executable, str(script), "0"], variables={}, folder=tmp_path, log=log)
    deadline = time.monotonic() + 20
    while log.read_text().count("used") < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    try:
        yield process
    finally:
        processes.end(process)


def test_a_name_with_spaces_and_brackets_is_read_past() -> None:
    fields = " ".join(str(number) for number in range(52))
    line = f"42 (a (strange) name) S 7 8 9 {' '.join('0' * 7)} 100 50 25 25 {fields}"
    assert processes.read_stat(line) == Process(42, parent=7, session=9, cpu_s=200 / processes.TICKS)


def test_a_family_has_descendants_and_those_who_share_its_session() -> None:
    among = {
        each.pid: each
        for each in (
            Process(1, 0, 1, 0),
            Process(10, 1, 10, 0),  # the root
            Process(11, 10, 10, 0),
            Process(12, 11, 99, 0),  # a grandchild in a session of its own
            Process(13, 1, 10, 0),  # left by its parent's end
            Process(20, 1, 20, 0),
        )
    }
    assert [each.pid for each in processes.family(10, among)] == [10, 11, 12, 13]


def test_memory_is_read_in_bytes() -> None:
    assert processes.read_pss("Rss: 100 kB\nPss:   60 kB\nPss_Anon: 40 kB\n") == 60 * 1024
    assert processes.read_pss("") == 0


def test_the_use_of_all_generations_is_counted(parent: subprocess.Popen[bytes]) -> None:
    family = processes.family(parent.pid, processes.everyone())
    assert len(family) == 3
    assert processes.cpu_seconds(parent.pid) >= 3 * 0.2 - 0.1  # /proc counts in hundredths
    alone = processes.read_pss(Path(f"/proc/{parent.pid}/smaps_rollup").read_text())
    assert processes.pss_bytes(parent.pid) > alone > 0


def test_none_of_a_family_outlives_it(
    parent: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "END_S", 1)
    pids = [each.pid for each in processes.family(parent.pid, processes.everyone())]
    processes.end(parent)
    deadline = time.monotonic() + 10
    while any(alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not [pid for pid in pids if alive(pid)]


def alive(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


def test_interrupts_and_waiting_are_not_what_others_use() -> None:
    #              user nice system idle iowait irq softirq steal
    line = "cpu  100 10 50 1000 500 70 70 40 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n"
    assert quiet.read_busy(line) == 200 / processes.TICKS


def test_a_disturbance_is_what_neither_the_benchmark_nor_its_server_used() -> None:
    before = quiet.Instant(at=0.0, busy=100.0, own=50.0)
    after = quiet.Instant(at=10.0, busy=100.0 + 0.5 * CORES * 10, own=50.0 + 0.3 * CORES * 10)
    assert quiet.disturbance(before, after) == pytest.approx(0.2)
    assert quiet.disturbance(before, quiet.Instant(10.0, 100.0, 51.0)) == 0.0


def test_this_process_is_not_its_own_disturbance() -> None:
    before = quiet.now()
    end = time.process_time() + 0.3
    while time.process_time() < end:
        pass
    after = quiet.now()
    assert after.own - before.own >= 0.25
    assert os.getpid() in processes.everyone()
