"""Programs end with their block, also where the signal comes at a bad moment."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import weakref
from typing import Any

import pytest

from scripts import _setup
from scripts.delivery import program

DEAF_ONCE = """
import signal, time
signal.signal(signal.SIGINT, lambda *_: signal.signal(signal.SIGINT, signal.default_int_handler))
print("ready", flush=True)
time.sleep(60)
"""
COMMAND = [sys.executable, "-c", DEAF_ONCE]


def test_a_lost_interrupt_is_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "_PATIENCE_S", 0.2)
    with program.running(COMMAND, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
    assert process.returncode == -signal.SIGINT


def test_an_interrupt_that_is_lost_in_a_callback_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "unraisablehook", _setup._interrupt_again)
    dropped = {1}
    _ = weakref.ref(dropped, lambda _: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - it comes a moment after the callback
        del dropped
        time.sleep(10)


def test_ctrl_c_while_a_program_starts_leaves_no_program(monkeypatch: pytest.MonkeyPatch) -> None:
    started = []

    class InterruptedPopen(subprocess.Popen[Any]):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            started.append(self)
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(subprocess, "Popen", InterruptedPopen)
    with pytest.raises(KeyboardInterrupt), program.running(["sleep", "60"]):
        pytest.fail("the program was started")
    assert [process.returncode for process in started] == [-signal.SIGINT]
