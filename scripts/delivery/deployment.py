"""Deploy an environment's release, or its previous one, and check what serves afterwards."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from infra import names, release
from scripts.console import BusyError, DeliveryError, echo, step
from scripts.delivery import artifacts, engine, stacks
from scripts.delivery.aws import AWS_ERRORS, assume, bootstrap_session, stack_outputs
from scripts.delivery.cdk import cdk, synthesize
from scripts.delivery.pruning import TYPES, prune
from scripts.delivery.smoke import smoke

if TYPE_CHECKING:
    from infra.config import Settings


def deploy(settings: Settings, *, record: Path) -> None:
    """Deploy the registry stack, check that its bucket holds the artifact, deploy the rest, and smoke-test.

    All stacks are deployed from one synthesis. Stacks that an earlier deploy left stuck are recovered first,
    and what a destroyed environment has left is taken over. Without a record only the registry stack is
    deployed.

    Raises
    ------
    BusyError
        If another deploy is under way; nothing was changed then.
    DeliveryError
        If the stacks' state cannot be read, a stack fails (CloudFormation has rolled it back then), the
        artifact cannot be found, the image is not one that SageMaker takes, or what serves is not what the
        record declares. On AWS also if the image's base is not pinned; nothing was changed then.
    """
    registry = names.stack(settings.environment, "registry")
    released = shadow = None
    if record.exists():
        released = release.load_for(settings.environment, record, local=settings.local)
        shadow = release.load_shadow(settings, released)
        if not settings.local:
            engine.refuse_unpinned_base()
    stacks.refuse_if_busy(settings)
    if released:
        stacks.refuse_to_replace_log_role(settings)
    warn_without_recipients(settings)
    with tempfile.TemporaryDirectory() as assembly:
        with step("cdk synth"):
            synthesize(settings, record=record if released else None, to=Path(assembly))
        stacks.recover_stacks(settings, assembly=assembly)
        if stacks.needs_creation(settings, "registry"):
            stacks.take_over(settings, assembly=Path(assembly))
        with step("cdk deploy of the registry stack, for the artifact and the image"):
            deploy_stacks(settings, registry, assembly=assembly)
        if released is None:
            echo(f"No release yet ({record} is absent). Next: scripts/promote --env {settings.environment}")
            return
        for each in filter(None, (released, shadow)):
            with step(f"checking the artifact {each.model.sha256[:12]}"):
                artifacts.ensure_uploaded(stack_outputs(registry)["BucketName"], sha256=each.model.sha256)
        with step("pushing the serving image, unless ECR holds it"):
            artifacts.push_image(settings, assembly=assembly)
        suspended = stacks.suspend_scaling(settings, assembly=Path(assembly))
        try:
            with step(f"cdk deploy of {released.model.name} version {released.model.version}"):
                deploy_stacks(settings, "--all", assembly=assembly)
        except BaseException:
            if suspended:
                echo(
                    f"WARNING: {settings.endpoint_name} has no auto scaling until its stack is updated: the "
                    f"update needs that. The next `scripts/deploy --env {settings.environment}` restores it."
                )
            raise
    with step("smoke test"):
        smoke(settings, record=record)
    with step("deleting the models and endpoint configurations that no endpoint needs"):
        _prune(settings)


def _prune(settings: Settings) -> None:
    """Delete what earlier releases left; a failure is reported, since what serves is healthy."""
    stack = names.stack(settings.environment, "endpoint")
    role = names.role(settings.environment, "pruning", region=settings.region)
    try:
        reader = bootstrap_session(settings, "lookup")
        held = set(stacks.resources(reader, stack, *TYPES))
        prune(settings.environment, reader=reader, deleter=assume(role), held=held)
    except (DeliveryError, *AWS_ERRORS) as error:
        echo(f"  Some were not deleted, which costs nothing; the next deploy tries again: {error}")


def warn_without_recipients(settings: Settings) -> None:
    """Say so where the alarms and the budget of a protected environment reach nobody."""
    if settings.termination_protection and settings.monitoring and not settings.monitoring.emails:
        echo(
            f"WARNING: alarms and budget of {settings.environment} reach nobody. Write addresses to emails "
            f"in [monitoring] of infra/environments/{settings.environment}.toml, or subscribe to the topic."
        )


def deploy_stacks(settings: Settings, what: str, *, assembly: str) -> None:
    """Deploy one stack, or ``--all``, from a folder of synthesized stacks."""
    began = datetime.now(UTC).replace(microsecond=0)  # events and alarms have no finer dates
    arguments = ("deploy", what, "--app", assembly, "--require-approval", "never", "--progress", "events")
    try:
        cdk(*arguments, local=settings.local)
    except DeliveryError as error:
        raise _explained(error, settings, since=began) from None


def _explained(error: DeliveryError, settings: Settings, *, since: datetime) -> DeliveryError:
    """Return a failed deploy's error with what AWS knows of it: another deploy, or an alarm."""
    try:
        stacks.refuse_if_busy(settings)
        reason = stacks.rollback_reason(settings, since=since)
    except BusyError as busy:  # another deploy was faster: this one has changed nothing
        return busy
    except (DeliveryError, *AWS_ERRORS):  # what the CDK printed matters more
        return error
    return DeliveryError(f"{reason}\n{error}") if reason else error


def rollback(settings: Settings, *, record: Path) -> None:
    """Swap the release record with the previous one, and deploy."""
    current, previous_path = release.load(record), release.previous_path(record)
    if not previous_path.is_file():
        raise DeliveryError(
            f"{record} has no previous record here. Older ones may be in git: `git log -- {record}`."
        )
    previous = release.load(previous_path)
    if previous == current:
        raise DeliveryError(
            f"{record} and its previous record are the same: a promotion or a rollback was interrupted. "
            f"Older records may be in git: `git log -- {record}`."
        )
    release.swap_with_previous(record)
    echo(f"  {record}: back to {previous.model.name} version {previous.model.version}")
    try:
        deploy(settings, record=record)
    except BaseException:
        echo(
            f"The record is restored, but not deployed. Continue with `scripts/deploy --env "
            f"{settings.environment}`: another rollback would return to the release that you left."
        )
        raise
