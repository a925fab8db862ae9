"""How a command reads its arguments and how its failures end; a training job uses this too."""

from __future__ import annotations

import argparse
import io
import math
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.console import DeliveryError, echo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def command_parser(
    command: str, description: str | None, *, epilog: str | None = None
) -> argparse.ArgumentParser:
    """Make the parser of `scripts/COMMAND`, and let it print what the locale's encoding lacks."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as standard error's is
    return argparse.ArgumentParser(
        prog=f"scripts/{command}",
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def add_data_argument(parser: argparse.ArgumentParser) -> None:
    """Add the argument that names the images."""
    parser.add_argument(
        "--data",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="source, a folder with yes/ and no/, or folder of sources; may be repeated (default: "
        "$TUMOR_DATA, then data/, then generated phantoms)",
    )


def whole(least: int, most: float = math.inf) -> Callable[[str], int]:
    """Return the type of an argument that is a whole number."""

    def number(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= most:
            limits = f"of at least {least}" if most == math.inf else f"from {least} to {most}"
            raise argparse.ArgumentTypeError(f"must be a whole number {limits}, not {text!r}")
        return int(text)

    return number


@contextmanager
def cli_errors(*expected: type[Exception]) -> Iterator[None]:
    """Turn failures that a person can fix into one line and an exit status.

    They are `DeliveryError` and those `expected`: their text says what is wrong and what to do. The status is
    1, or 75 if the same command can succeed later.
    """
    caught: tuple[type[Exception], ...] = (DeliveryError, *expected)
    try:
        yield
    except caught as error:
        echo(f"✗ {error}")
        raise SystemExit(error.status if isinstance(error, DeliveryError) else 1) from None
