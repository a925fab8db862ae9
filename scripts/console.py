"""Terminal output of the commands: progress on standard error, which leaves standard output to results."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_TERMINAL_INTERVAL_S = 0.5
_LOG_INTERVAL_S = 30.0
_CLEAR_LINE = "\r\033[K"


class DeliveryError(Exception):
    """A failure that the user can fix; the message says what is wrong and what to do."""

    status = 1  # of the command that ends with it


class BusyError(DeliveryError):
    """Another deployment is under way; the same command works later."""

    status = os.EX_TEMPFAIL


@dataclass
class _Step:
    title: str
    began: float
    progress: str = ""

    def __str__(self) -> str:
        seconds = f"{time.monotonic() - self.began:.0f} s"
        return f"{self.title} ({seconds}, {self.progress})" if self.progress else f"{self.title} ({seconds})"


_lock = threading.RLock()
_steps: list[_Step] = []  # running steps, the innermost last
_terminal: IO[str] | None = None  # the real standard error while `details_in` redirects it


def echo(text: str) -> None:
    """Print one line on standard error."""
    with _lock:
        stream = _terminal or sys.stderr
        print(f"{_CLEAR_LINE if stream.isatty() else ''}{text}", file=stream, flush=True)
        if _terminal:
            print(text, file=sys.stderr, flush=True)


def detail(text: str) -> None:
    """Print one line that explains a step: on standard error, or only in the log of `details_in`."""
    if _terminal:
        print(text, file=sys.stderr, flush=True)
    else:
        echo(text)


@contextmanager
def details_in(log: Path) -> Iterator[None]:
    """Redirect standard error to a file, except for what `echo` and `step` print.

    The file also takes what libraries and child processes write to their standard error.
    """
    global _terminal  # noqa: PLW0603 - there is one
    sys.stderr.flush()
    with log.open("a") as file, os.fdopen(os.dup(2), "w", errors="backslashreplace") as terminal:
        os.dup2(file.fileno(), 2)
        _terminal = terminal
        try:
            yield
        finally:
            sys.stderr.flush()
            _terminal = None
            os.dup2(terminal.fileno(), 2)


def progress(text: str) -> None:
    """Show the progress of the innermost step beside its seconds; on a terminal only."""
    if _steps:
        _steps[-1].progress = text


@contextmanager
def step(title: str, *, began: float | None = None) -> Iterator[None]:
    """Show a long step while it runs, and one line with its seconds at its end.

    `began` is when it began, by `time.monotonic`, if not now.
    """
    this = _Step(title, began or time.monotonic())
    ended = threading.Event()
    detail(f"▸ {title} ...")
    _steps.append(this)
    threading.Thread(target=_report, args=(this, ended), daemon=True).start()
    outcome = ""  # of Ctrl-C: the command itself says that it was stopped
    try:
        yield
        outcome = "✓"
    except Exception:
        outcome = "✗"
        raise
    finally:
        with _lock:
            ended.set()
            if outcome:
                echo(f"{outcome} {title} ({time.monotonic() - this.began:.0f} s)")
            _steps.remove(this)


def _report(this: _Step, ended: threading.Event) -> None:
    stream = _terminal or sys.stderr
    on_terminal = stream.isatty()
    while not ended.wait(_TERMINAL_INTERVAL_S if on_terminal else _LOG_INTERVAL_S):
        with _lock:
            if ended.is_set() or this is not _steps[-1]:
                continue
            if on_terminal:
                line = f"▸ {this}"[: shutil.get_terminal_size().columns - 1]
                print(f"{_CLEAR_LINE}{line}", end="", file=stream, flush=True)
            else:
                echo(f"▸ {this}")
