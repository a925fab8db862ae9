"""Composition only: an environment's settings and its release become stacks.

Run by the CDK CLI (see cdk.json): `cdk synth -c env=dev`, `cdk deploy -c env=dev -c release=PATH --all`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import aws_cdk as cdk
from aws_cdk import Validations
from cdk_nag import AwsSolutionsChecks

from infra import config, names
from infra.release import NO_RELEASE, card_path, load_for, record_path
from infra.report import FileError
from infra.stacks.delivery import DeliveryStack
from infra.stacks.endpoint import EndpointStack
from infra.stacks.gateway import GatewayStack
from infra.stacks.registry import RegistryStack
from infra.stacks.sight import SightStack

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parent.parent
CONTAINER = ROOT / "container"
GATEWAY = ROOT / "infra" / "gateway"
CANARY = ROOT / "infra" / "canary"
DEFAULT_ENVIRONMENT = "dev"


def build_app(
    *,
    environment: str,
    release: Path | None = None,
    environments: Path = config.ENVIRONMENTS,
    context: Mapping[str, object] | None = None,
    outdir: str | None = None,
) -> cdk.App:
    """Declare the stacks of one environment, ready for `synth()`.

    Parameters
    ----------
    environment
        The name of a file in `environments`.
    release
        The release record to serve; without it the environment's own, if there has been a promotion.
    environments
        The folder with the settings.
    context
        The CDK's feature flags, as in cdk.json, and our key `base_image`.
    outdir
        Where to synthesize to.

    Raises
    ------
    SettingsError, ReleaseError
        With everything that is wrong with the settings or the record.
    """
    app = cdk.App(context=context, outdir=outdir, analytics_reporting=False)
    declare(app, environment=environment, record=release, environments=environments)
    return app


def declare(
    app: cdk.App, *, environment: str, record: Path | None, environments: Path = config.ENVIRONMENTS
) -> None:
    """Add the stacks of `environment` to `app`: all of them, or without a release the registry alone."""
    settings = config.load(environment, folder=environments)
    Validations.of(app).add_plugins(AwsSolutionsChecks())
    registry = RegistryStack(app, names.registry_stack(environment), settings=settings)
    if settings.github:
        delivery = DeliveryStack(
            app, names.delivery_stack(environment), settings=settings, github=settings.github
        )
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
    endpoint = EndpointStack(
        app,
        names.endpoint_stack(environment),
        settings=settings,
        release=release,
        container=CONTAINER,
        base_image=app.node.try_get_context("base_image"),
    )
    gateway = GatewayStack(
        app,
        names.gateway_stack(environment),
        settings=settings,
        release=release,
        gateway=GATEWAY,
        card=card_path(path, sha256=release.model.sha256),
    )
    # They meet by name, not by reference, so CloudFormation must be told their order.
    endpoint.add_stack_dependency(registry)
    gateway.add_stack_dependency(endpoint)
    if settings.sight:
        sight = SightStack(
            app,
            names.sight_stack(environment),
            settings=settings,
            sight=settings.sight,
            release=release,
            canary=CANARY,
        )
        sight.add_stack_dependency(gateway)


def main(*, context: Mapping[str, object] | None = None, environments: Path = config.ENVIRONMENTS) -> None:
    """Synthesize what the CDK CLI's context asks for; what people can mend ends it with a report alone."""
    app = cdk.App(context=context, analytics_reporting=False)
    environment = app.node.try_get_context("env") or DEFAULT_ENVIRONMENT
    record = app.node.try_get_context("release")
    try:
        declare(
            app,
            environment=environment,
            record=Path(record) if record else None,
            environments=environments,
        )
    except FileError as error:
        sys.exit(str(error))
    try:
        app.synth()
    except RuntimeError as error:
        if "ValidationFailed" not in str(error):
            raise
        sys.exit("The findings above stop this synth: mend them, or acknowledge each beside its construct.")


if __name__ == "__main__":
    main()
