"""Options of the whole suite, and what it tells at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.fuzz.figures import FIGURES

if TYPE_CHECKING:
    import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--fuzz-seconds",
        type=float,
        default=15,
        help="how long inputs are made up for the gateway, in all (default: %(default)s)",
    )
    parser.addoption(
        "--screenshots",
        action="store_true",
        help="draw the pictures of the page anew (tests/gateway/test_looks.py)",
    )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in FIGURES.table():
        terminalreporter.write_line(line)
