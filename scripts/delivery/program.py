"""Programs: their output, or one beside this process that ends with it, whenever Ctrl-C or SIGTERM comes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from typing import TYPE_CHECKING, Any

from infra.paths import ROOT
from scripts.console import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_PATIENCE_S = 10
_SHOWN = 1000  # characters of a failed program's output that are shown


def output(what: str, command: Sequence[str | Path], *, cwd: Path = ROOT, **options: Any) -> str:
    """Return what a program prints; a `DeliveryError` names the task, `what`, and has the end of its errors.

    `options` are of `subprocess.run`, without `text`.
    """
    pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    done = subprocess.run(command, cwd=cwd, check=False, **pipes | options)
    printed, errors = ((each or b"").decode(errors="replace") for each in (done.stdout, done.stderr))
    if done.returncode:
        raise DeliveryError(f"{what} failed: {(errors or printed).strip()[-_SHOWN:] or done.returncode}")
    return printed


@contextlib.contextmanager
def running(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """Run a program; leaving the block interrupts it, with all that it started, unless it has ended."""
    process = None
    try:
        with _interrupts_deferred():
            # Ctrl-C is for this process, which passes it on once.
            process = subprocess.Popen(command, start_new_session=True, **options)
        yield process
    finally:
        if process:
            _interrupt(process)


@contextlib.contextmanager
def _interrupts_deferred() -> Iterator[None]:
    """Raise `KeyboardInterrupt` after the block: within `Popen` it would leave a process that nobody ends."""
    if threading.current_thread() is not threading.main_thread():  # which alone receives signals
        yield
        return
    received: list[int] = []
    handlers = {
        number: signal.signal(number, lambda number, _frame: received.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if received:
            signal.raise_signal(received[0])


def _interrupt(process: subprocess.Popen[Any]) -> None:
    """Send Ctrl-C and wait, also for those that hold its output open.

    Python loses an interrupt that comes in a callback, as each import has one, so it is sent again.
    """
    while process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=_PATIENCE_S)
    if process.stdout:
        process.stdout.close()
