"""Put an environment's previous release back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra import release
from scripts.delivery.console import DeliveryError, say
from scripts.delivery.deployment import deploy

if TYPE_CHECKING:
    from pathlib import Path

    from infra.config import Settings


def rollback(settings: Settings, *, record: Path, and_deploy: bool = True) -> None:
    """Swap the release record with the one before it, and deploy.

    Raises
    ------
    DeliveryError
        If there is no release before this one, or the deployment fails.
    ReleaseError
        If one of the two records is wrong.
    """
    if not release.previous_path(record).is_file():
        raise DeliveryError(
            f"{record} has no release before it. An older one may be in git: `git log -- {record.name}`."
        )
    before = release.load(release.previous_path(record))
    release.swap_with_previous(record)
    say(f"  {record}: back to {before.model.name} version {before.model.version}")
    if and_deploy:
        deploy(settings, record=record)
