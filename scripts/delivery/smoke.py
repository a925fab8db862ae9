"""Checks that an environment serves what its release declares, since a silent rollback looks like success."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from infra import names, release
from infra.lambdas.canary.golden import difference
from model.data import phantom
from scripts.api.gateway import gateway_client
from scripts.client import ClientError, ProblemError
from scripts.console import DeliveryError, detail
from scripts.delivery.aws import AWS_ERRORS, session, stack_outputs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from infra.config import Settings
    from infra.release import Release
    from scripts.client import Client

# A serverless endpoint without traffic starts a container first, for up to a minute: it answers 503 or 504.
ATTEMPTS, PATIENCE_S = 6, 180.0


@dataclass(frozen=True)
class Check:
    """One comparison of what serves with what is declared."""

    name: str
    passed: bool
    detail: str


def smoke(settings: Settings, *, record: Path) -> None:
    """Compare endpoint, health and golden answers with the release, and print each result."""
    released = release.load_for(settings.environment, record, local=settings.local)
    try:
        client = gateway_client(settings, attempts=ATTEMPTS, patience_s=PATIENCE_S, on_retry=_announce_retry)
        with closing(client):
            checks = [*_endpoint(settings), *check_gateway(client, released)]
    except AWS_ERRORS as error:
        raise DeliveryError(f"The endpoint cannot be read: {error}") from error
    except ClientError as error:
        raise DeliveryError(f"The gateway cannot be checked: {error}") from error
    for check in checks:
        detail(f"  {'✓' if check.passed else '✗'} {check.name}: {check.detail}")
    failed = [check.name for check in checks if not check.passed]
    if failed:
        raise DeliveryError(f"What serves is not what was released: {', '.join(failed)}.")


def _announce_retry(reason: str, pause_s: float) -> None:
    detail(f"  … {reason}, as while an endpoint starts; trying again in {pause_s:.0f} s")


def _endpoint(settings: Settings) -> Iterator[Check]:
    declared = stack_outputs(names.stack(settings.environment, "endpoint"))
    endpoint = session().client("sagemaker").describe_endpoint(EndpointName=declared["EndpointName"])
    status, serving = endpoint["EndpointStatus"], endpoint.get("EndpointConfigName")
    yield Check("endpoint status", status == "InService", status)
    yield Check(
        "endpoint configuration",
        serving == declared["EndpointConfigName"],
        f"{serving} serves, {declared['EndpointConfigName']} is declared",
    )
    for variant in endpoint.get("ProductionVariants", []):
        for image in variant.get("DeployedImages", []):
            yield Check("image", image["SpecifiedImage"] == declared["ImageUri"], image["ResolvedImage"])


def check_gateway(client: Client, released: Release) -> Iterator[Check]:
    """Compare a gateway's health and its answers to the golden phantoms with the release."""
    try:
        serving = client.health().model.sha256
    except ProblemError as error:
        yield Check("health", passed=False, detail=error.problem.detail)
    else:
        yield Check("health", serving == released.model.sha256, f"model {serving[:12]} serves")
    for golden in released.golden:
        try:
            image = phantom.png(seed=golden.seed, lesion=golden.lesion)
            status, body = 200, asdict(client.predict(image))
        except ProblemError as error:
            status, body = error.problem.status, asdict(error.problem)
        found = difference(status, body, probability=golden.probability, sha256=released.model.sha256)
        expected = "refused" if golden.probability is None else f"probability {golden.probability:.4f}"
        yield Check(f"golden phantom {golden.seed}", found is None, found or f"{expected}, as released")
