"""What `promote`, `deploy`, `rollback` and `smoke` share: an environment, its record, their errors."""

from __future__ import annotations

import argparse
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from infra import config
from infra.config import Settings, SettingsError
from infra.local import LocalAwsError
from infra.release import ReleaseError, record_path
from model.data import DataError
from model.export import ExportError
from model.registry import RegistryError
from model.tracking import TrackingError
from scripts.delivery.aws import AWS_ERRORS, reach
from scripts.delivery.console import DeliveryError, say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

EXPECTED = (
    DataError,
    DeliveryError,
    ExportError,
    LocalAwsError,
    RegistryError,
    ReleaseError,
    SettingsError,
    TrackingError,
)


def parser(description: str | None) -> argparse.ArgumentParser:
    """Make a parser with the arguments that every command for a release takes."""
    made = argparse.ArgumentParser(description=description)
    add_environment(made)
    made.add_argument(
        "--release",
        type=Path,
        metavar="PATH",
        help="release record (default: infra/releases/<environment>.json)",
    )
    return made


def add_environment(parser: argparse.ArgumentParser) -> None:
    """Add the argument that names the environment."""
    parser.add_argument(
        "--env", required=True, help="an environment of infra/environments/, for example local"
    )


def record_of(options: argparse.Namespace) -> Path:
    """Where the release record is that the arguments speak of.

    The environment's own record may be absent before its first promotion; one that was named must be there.

    Raises
    ------
    DeliveryError
        If ``--release`` names no file.
    """
    named: Path | None = options.release
    if named and not named.is_file():
        raise DeliveryError(f"--release {named}: there is no such file.")
    return named or record_path(options.env)


@contextmanager
def speaking() -> Iterator[None]:
    """Turn the failures that a person can mend, and Ctrl-C, into one line and an exit status.

    Raises
    ------
    SystemExit
        1 after a failure, 75 where the same command works later, 130 after Ctrl-C, as a shell would have it.
    """
    try:
        yield
    except EXPECTED as error:
        say(f"✗ {error}")
        raise SystemExit(error.status if isinstance(error, DeliveryError) else 1) from None
    except AWS_ERRORS as error:
        say(f"✗ AWS refused: {error}")
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        say("✗ stopped")
        raise SystemExit(130) from None


def run(options: argparse.Namespace, action: Callable[[Settings], object]) -> None:
    """Reach the environment's AWS and act on it; failures end the command as in `speaking`."""
    with speaking():
        settings = config.load(options.env)
        reach(settings)
        action(settings)
