"""A server's processes, with all their descendants: their time, their memory and their end."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import psutil

from scripts.benchmark import processes
from tests.emulator.cloud import wait_for

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

# A parent with a child that works for half a second and then holds 50 MB.
FAMILY = """
import subprocess, sys, time
work = "import time\\nwhile time.process_time() < 0.5: pass\\nheld = b'x' * 50_000_000\\ntime.sleep(60)"
with subprocess.Popen([sys.executable, "-c", work]):
    time.sleep(60)
"""


def test_descendants_are_measured_and_ended_with_their_parent(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FAMILY]
    with processes.running(command, variables={}, log=tmp_path / "log") as process:
        wait_for(lambda: processes.pss_mb(process) >= 50, timeout_s=60)
        assert processes.cpu_seconds(process) >= 0.5
        family = [process.pid, *(each.pid for each in process.children(recursive=True))]
        assert len(family) == 2
    assert not any(psutil.pid_exists(pid) for pid in family)


def test_what_others_use_is_noise_and_what_is_measured_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = [sys.executable, "-c", "while True: pass"]
    with processes.running(busy, variables={}, log=tmp_path / "log"):
        noise = processes.Disturbance()
        time.sleep(1)
        own = noise.share()
        monkeypatch.setattr(processes, "_family", lambda process: [process])  # as if others had started it
        assert noise.share() > own + 0.02
