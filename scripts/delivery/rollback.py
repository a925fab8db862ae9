"""Put an environment's previous release back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra import release
from scripts.delivery.console import DeliveryError, say
from scripts.delivery.deployment import deploy

if TYPE_CHECKING:
    from pathlib import Path

    from infra.config import Settings
    from infra.release import Release


def rollback(settings: Settings, *, record: Path, and_deploy: bool = True) -> None:
    """Swap the release record with the one before it, and deploy.

    Raises
    ------
    DeliveryError
        If there is no release before this one, or the deployment fails.
    ReleaseError
        If one of the two records is wrong.
    """
    current, before = release.load(record), _release_before(record)
    if before == current:
        raise DeliveryError(
            f"{record} and the record before it are the same: a promotion or a rollback was interrupted. "
            f"Older records may be in git: `git log -- {record}`."
        )
    release.swap_with_previous(record)
    say(f"  {record}: back to {before.model.name} version {before.model.version}")
    if and_deploy:
        try:
            deploy(settings, record=record)
        except BaseException:
            say(
                f"The record is back, its deployment is not finished. Go on with `scripts/deploy --env "
                f"{settings.environment}`: another rollback would return to the release that you left."
            )
            raise


def _release_before(record: Path) -> Release:
    previous = release.previous_path(record)
    if not previous.is_file():
        raise DeliveryError(
            f"{record} has no release before it here. Older ones may be in git: `git log -- {record}`."
        )
    return release.load(previous)
