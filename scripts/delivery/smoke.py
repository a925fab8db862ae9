"""Prove that what serves is what was declared: a silent roll-back looks like success to everybody else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from infra import names, release
from model import phantom
from scripts.delivery.aws import AWS_ERRORS, session, stack_outputs
from scripts.delivery.console import DeliveryError, say
from scripts.delivery.gateway import gateway_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from infra.config import Settings
    from infra.release import Golden, Release
    from scripts.delivery.gateway import Answer

# What two machines' floating point may differ by; a different model differs by far more.
TOLERANCE = 1e-3
UNPROCESSABLE = 422


@dataclass(frozen=True)
class Check:
    """One comparison of what serves with what was declared."""

    name: str
    passed: bool
    detail: str


def smoke(settings: Settings, *, record: Path) -> None:
    """Compare the endpoint, the health answer and the golden answers with the release, and show each.

    Raises
    ------
    DeliveryError
        If anything differs, naming all that does.
    ReleaseError
        If the record is absent or wrong.
    """
    released = release.load_for(settings.environment, record, local=settings.local)
    try:
        checks = [*_endpoint(settings), *check_gateway(gateway_of(settings), released)]
    except AWS_ERRORS as error:
        raise DeliveryError(f"The endpoint cannot be read: {error}") from error
    for item in checks:
        say(f"  {'✓' if item.passed else '✗'} {item.name}: {item.detail}")
    failed = [item.name for item in checks if not item.passed]
    if failed:
        raise DeliveryError(f"What serves is not what was released: {', '.join(failed)}.")


def _endpoint(settings: Settings) -> Iterator[Check]:
    # Imported here: it takes seconds, which commands that only import this module need not spend.
    from sagemaker.core.resources import Endpoint  # noqa: PLC0415

    declared = stack_outputs(names.endpoint_stack(settings.environment))
    endpoint = Endpoint.get(declared["EndpointName"], session=session())
    status, serving = endpoint.endpoint_status, endpoint.endpoint_config_name
    yield Check("endpoint status", status == "InService", status)
    yield Check(
        "endpoint configuration",
        serving == declared["EndpointConfigName"],
        f"{serving} serves, {declared['EndpointConfigName']} is declared",
    )
    for image in (image for variant in endpoint.production_variants for image in variant.deployed_images):
        yield Check("image", image.specified_image == declared["ImageUri"], image.resolved_image)


class Answers(Protocol):
    """What is asked of a gateway here; `scripts.delivery.gateway.Gateway` does it over HTTP."""

    def health(self) -> Answer:
        """Say whether it serves, and which model."""

    def predict(self, image: bytes, *, media_type: str) -> Answer:
        """Classify one encoded image."""


def check_gateway(gateway: Answers, released: Release) -> Iterator[Check]:
    """Compare what a gateway says of itself and of the golden phantoms with its release."""
    health = gateway.health().body
    yield Check("health", health.get("status") == "ok", str(health.get("detail") or health.get("status")))
    yield _same_model("health's model", health, released)
    for golden in released.golden:
        answer = gateway.predict(phantom.png(seed=golden.seed, lesion=golden.lesion), media_type="image/png")
        yield from _golden(golden, answer, released)


def _golden(golden: Golden, answer: Answer, released: Release) -> Iterator[Check]:
    name = f"golden phantom {golden.seed}"
    if golden.refused:
        yield Check(name, answer.status == UNPROCESSABLE, f"refusal expected, answered {answer.status}")
        return
    probability = answer.body.get("probability")
    if not isinstance(probability, float):
        yield Check(name, passed=False, detail=f"answered {answer.status}: {answer.body.get('detail')}")
        return
    yield _same_model(f"{name}'s model", answer.body, released)
    close = abs(probability - (golden.probability or 0)) <= TOLERANCE
    yield Check(name, close, f"probability {probability:.4f}, {golden.probability:.4f} expected")


def _same_model(name: str, body: dict[str, object], released: Release) -> Check:
    model = body.get("model")
    sha256 = str(model.get("sha256")) if isinstance(model, dict) else "none"
    same = sha256 == released.model.sha256
    return Check(name, same, sha256[:12] if same else f"another model answered: {sha256[:12]}")
