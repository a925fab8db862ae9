"""What the commands share: the arguments for an environment and its release, and how failures end."""

from __future__ import annotations

import argparse
import re
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from infra import config
from infra.config import Settings, SettingsError
from infra.local_aws import LocalAwsError
from infra.release import ReleaseError, record_path
from scripts import cli
from scripts.console import DeliveryError
from scripts.delivery.aws import AWS_ERRORS, connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1)}
_LONGEST = timedelta(days=365)
_EXPECTED = (LocalAwsError, ReleaseError, SettingsError)


def release_parser(command: str, description: str | None) -> argparse.ArgumentParser:
    """Make the parser of a command that takes an environment and a release record."""
    parser = cli.command_parser(command, description)
    add_environment(parser)
    parser.add_argument(
        "--release",
        type=Path,
        metavar="PATH",
        help="release record (default: infra/releases/<environment>.json)",
    )
    return parser


def add_environment(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Add the argument that names the environment."""
    parser.add_argument(
        "--env", required=required, help="an environment of infra/environments/, for example local"
    )


def add_since(parser: argparse.ArgumentParser) -> None:
    """Add the argument that says how far back answers are read."""
    parser.add_argument(
        "--since", type=_age, default="7d", metavar="AGE", help="such as 12h or 30d (default: %(default)s)"
    )


def _age(text: str) -> timedelta:
    match = re.fullmatch(r"([1-9][0-9]{0,4})([hd])", text)
    if not match or (age := int(match[1]) * _UNITS[match[2]]) > _LONGEST:
        raise argparse.ArgumentTypeError("write hours or days, such as 12h or 7d, at most 365d")
    return age


def record_of(options: argparse.Namespace) -> Path:
    """Return the path of the release record; one given with ``--release`` must exist."""
    named: Path | None = options.release
    if named and not named.is_file():
        raise DeliveryError(f"--release {named}: there is no such file.")
    return named or record_path(options.env)


@contextmanager
def cli_errors(*expected: type[Exception]) -> Iterator[None]:
    """End failures of settings, releases and AWS, and those given, as `scripts.cli.cli_errors` does."""
    with cli.cli_errors(*_EXPECTED, *expected):
        try:
            yield
        except AWS_ERRORS as error:
            raise DeliveryError(f"AWS refused: {error}") from error


def run(
    options: argparse.Namespace,
    action: Callable[[Settings], object],
    *,
    expected: tuple[type[Exception], ...] = (),
) -> None:
    """Connect to the environment's AWS and act on it; failures end as in `cli_errors`."""
    with cli_errors(*expected):
        settings = config.load(options.env)
        connect(settings)
        action(settings)
