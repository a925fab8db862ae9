"""Every answer that differs from the release is a failed check; an endpoint that starts is waited for."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from infra import release
from infra.lambdas.canary.golden import TOLERANCE
from infra.release import Golden
from scripts.client import Client
from scripts.delivery.smoke import check_gateway
from tests.api.fake_gateway import FakeGateway, prediction, problem
from tests.gateway.sagemaker import MODEL
from tests.infra.synthesis import RELEASE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.http_server import Reply

RELEASED = release.load(RELEASE)
RELEASED = replace(
    RELEASED,
    model=replace(RELEASED.model, sha256=MODEL["sha256"]),
    golden=(Golden(seed=1, lesion=True, probability=0.9), Golden(seed=2, lesion=False, refused=True)),
)
AS_RELEASED = prediction(probability=0.9)
REFUSAL = problem(422, "no brain MRI")
OTHER = {**MODEL, "sha256": "f" * 64}


@pytest.fixture
def gateway() -> Iterator[FakeGateway]:
    with FakeGateway().running() as fake:
        yield fake


def failed(gateway: FakeGateway, *replies: Reply) -> set[str]:
    gateway.replies.extend(replies)
    with closing(Client(gateway.url, attempts=1, patience_s=2)) as client:
        return {check.name for check in check_gateway(client, RELEASED) if not check.passed}


def test_a_gateway_that_answers_as_released_passes(gateway: FakeGateway) -> None:
    assert failed(gateway, AS_RELEASED, REFUSAL) == set()
    assert failed(gateway, prediction(probability=0.9 + TOLERANCE / 2), REFUSAL) == set()
    assert all(call.body.startswith(b"\x89PNG") for call in gateway.images)


@pytest.mark.parametrize(
    ("replies", "names"),
    [
        ((prediction(probability=0.9 + TOLERANCE * 2), REFUSAL), {"golden phantom 1"}),
        ((prediction(probability=0.9, model=OTHER), REFUSAL), {"golden phantom 1"}),
        ((problem(500), REFUSAL), {"golden phantom 1"}),
        ((AS_RELEASED, AS_RELEASED), {"golden phantom 2"}),
    ],
    ids=["another probability", "another model", "an error", "no refusal"],
)
def test_every_difference_fails_its_check(
    gateway: FakeGateway, replies: tuple[Reply, ...], names: set[str]
) -> None:
    assert failed(gateway, *replies) == names


@pytest.mark.parametrize("health", [problem(503, "not ready"), problem(502)])
def test_an_endpoint_out_of_service_fails_the_health_check(gateway: FakeGateway, health: Reply) -> None:
    gateway.health = health
    assert failed(gateway, AS_RELEASED, REFUSAL) == {"health"}


def test_a_cold_start_is_waited_for(gateway: FakeGateway) -> None:
    assert failed(gateway, problem(503, retry_after=1), AS_RELEASED, REFUSAL) == set()
