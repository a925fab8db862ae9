"""The CDK app: an environment's settings and its release become stacks.

The CDK CLI runs it (see cdk.json): `cdk synth -c env=dev`, `cdk deploy -c env=dev -c release=PATH --all`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import aws_cdk as cdk
from cdk_nag import AwsSolutionsChecks

from infra import config
from infra.config.file_errors import FileError
from infra.release import NO_RELEASE, card_path, load_for, load_shadow, record_path
from infra.stacks.delivery import DeliveryStack
from infra.stacks.endpoint import EndpointStack
from infra.stacks.gateway import GatewayStack
from infra.stacks.monitoring import MonitoringStack
from infra.stacks.registry import RegistryStack

DEFAULT_ENVIRONMENT = "dev"


def declare(
    app: cdk.App, *, environment: str, record: Path | None, environments: Path = config.ENVIRONMENTS
) -> None:
    """Add an environment's stacks to `app`: all of them, or without a release those that need none.

    `record` is the release to serve; by default the environment's own, if there has been a promotion. Raises
    `SettingsError` or `ReleaseError` with everything that is wrong.
    """
    settings = config.load(environment, folder=environments)
    cdk.Validations.of(app).add_plugins(AwsSolutionsChecks())
    registry = RegistryStack(app, settings=settings)
    if settings.github:
        delivery = DeliveryStack(app, settings=settings, github=settings.github)
        delivery.add_stack_dependency(registry)
    if record == Path(NO_RELEASE):
        return
    path = record or record_path(environment)
    if record is None and not path.exists():
        print(
            f"{environment} has no release yet, so this is its registry stack alone; "
            f"after deploying it run `scripts/train`, then `scripts/promote --env {environment}`.",
            file=sys.stderr,
        )
        return
    release = load_for(environment, path, local=settings.local)
    shadow = load_shadow(settings, release)
    base_image = app.node.try_get_context("base_image")
    endpoint = EndpointStack(app, settings=settings, release=release, shadow=shadow, base_image=base_image)
    card = card_path(path, sha256=release.model.sha256)
    gateway = GatewayStack(app, settings=settings, release=release, card=card)
    # The stacks know each other by name, not by reference, so their order must be declared.
    endpoint.add_stack_dependency(registry)
    gateway.add_stack_dependency(endpoint)
    if settings.monitoring:
        monitoring = MonitoringStack(app, settings=settings, monitoring=settings.monitoring, release=release)
        monitoring.add_stack_dependency(gateway)


def main() -> None:
    """Synthesize the environment in the CDK CLI's context; for errors in files, print only their report."""
    app = cdk.App(analytics_reporting=False)
    environment = app.node.try_get_context("env") or DEFAULT_ENVIRONMENT
    release = app.node.try_get_context("release")
    record = Path(release) if release else None
    try:
        declare(app, environment=environment, record=record)
    except FileError as error:
        sys.exit(str(error))
    try:
        app.synth()
    except RuntimeError as error:
        if "ValidationFailed" not in str(error):
            raise
        sys.exit("The findings above stop this synth: fix them, or acknowledge each beside its construct.")


if __name__ == "__main__":
    main()
