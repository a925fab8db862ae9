"""Deploy an environment in the order that its parts need each other, and prove what serves."""

from __future__ import annotations

import contextlib
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from infra import names, release
from scripts.delivery import artifacts, guardrails, stacks
from scripts.delivery.aws import AWS_ERRORS, stack_outputs
from scripts.delivery.cdk import cdk
from scripts.delivery.console import DeliveryError, say, step
from scripts.delivery.smoke import smoke
from scripts.delivery.synthesis import synthesize

if TYPE_CHECKING:
    from infra.config import Settings


def deploy_registry(settings: Settings) -> None:
    """Deploy the stack with the image repository and the model bucket; it needs no release."""
    with tempfile.TemporaryDirectory() as assembly:
        synthesize(settings, record=None, to=Path(assembly))
        stacks.unstick(settings, assembly=assembly)
        _deploy(settings, names.registry_stack(settings.environment), assembly=assembly)


def deploy(settings: Settings, *, record: Path) -> None:
    """Deploy the registry stack, see that the artifact is in its bucket, deploy the rest, and smoke-test it.

    All stacks are deployed from one synthesis, so what is deployed last is what was checked first. Stacks
    that an earlier deploy left stuck are brought out of it before.

    Parameters
    ----------
    settings
        The environment; its AWS must have been reached (`scripts.delivery.aws.reach`).
    record
        The release record; where it is absent only the registry stack is deployed.

    Raises
    ------
    BusyError
        If somebody else deploys at this moment; nothing was changed then.
    DeliveryError
        If a stack fails (CloudFormation has rolled it back then), the artifact is nowhere, or what serves is
        not what the record says.
    ReleaseError
        If the record is wrong.
    """
    released = None
    if record.exists():
        released = release.load_for(settings.environment, record, local=settings.local)
    stacks.refuse_if_busy(settings)
    with tempfile.TemporaryDirectory() as assembly:
        with step("cdk synth"):
            synthesize(settings, record=record if released else None, to=Path(assembly))
        stacks.unstick(settings, assembly=assembly)
        with step("cdk deploy of the registry stack, which the artifact and the image go into"):
            _deploy(settings, names.registry_stack(settings.environment), assembly=assembly)
        if released is None:
            say(f"No release yet ({record} is absent). Next: scripts/promote --env {settings.environment}")
            return
        with step(f"checking the artifact {released.model.sha256[:12]}"):
            bucket = stack_outputs(names.registry_stack(settings.environment))["BucketName"]
            artifacts.ensure_uploaded(bucket, sha256=released.model.sha256)
        with step(f"cdk deploy of {released.model.name} version {released.model.version}"):
            _deploy(settings, "--all", assembly=assembly)
    with step("smoke test"):
        smoke(settings, record=record)


def _deploy(settings: Settings, what: str, *, assembly: str) -> None:
    began = datetime.now(UTC).replace(microsecond=0)  # as events and alarms are dated
    try:
        cdk("deploy", what, "--app", assembly, "--require-approval", "never", "--progress", "events")
    except DeliveryError as error:
        stacks.refuse_if_busy(settings)  # somebody else was faster: this deploy's own changes have ended
        why = None
        with contextlib.suppress(*AWS_ERRORS):  # what the CDK said matters more
            why = guardrails.taken_back(settings, since=began)
        if why:
            raise DeliveryError(f"{why}\n{error}") from error
        raise
