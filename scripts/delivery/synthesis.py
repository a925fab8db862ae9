"""One synth of an environment into a folder, from which everything else is then done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.release import NO_RELEASE
from scripts.delivery import engine
from scripts.delivery.cdk import ROOT, cdk

if TYPE_CHECKING:
    from pathlib import Path

    from infra.config import Settings


def synthesize(settings: Settings, *, record: Path | None, to: Path, root: Path = ROOT) -> None:
    """Write an environment's templates to a folder; any finding of cdk-nag, and any warning, is a failure.

    Parameters
    ----------
    record
        The release record; without one there is the registry stack alone.
    to
        The folder.
    root
        The tree to synthesize, where it is not this one.

    Raises
    ------
    DeliveryError
        With what is wrong.
    """
    context = {"env": settings.environment, "release": str(record.resolve()) if record else NO_RELEASE}
    context |= engine.base_image_context(local=settings.local)
    cdk("synth", "--quiet", "--strict", "--output", str(to), context=context, root=root)
