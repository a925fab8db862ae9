"""What becomes of models and endpoint configurations that a release replaced, whoever takes it back."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError

from scripts.delivery.pruning import TYPES, prune
from scripts.delivery.stacks import resources
from tests.emulator.cloud import Cloud
from tests.emulator.deployment import EndpointStack

if TYPE_CHECKING:
    from collections.abc import Iterator


class RetainingStack(EndpointStack):
    """An environment's stack, of which CloudFormation keeps what it replaces where it is told to."""

    retain = True

    def template(self, **changes: Any) -> dict[str, Any]:
        template = super().template(**changes)
        if self.retain:
            for logical_id in ("Model", "Config"):
                template["Resources"][logical_id]["UpdateReplacePolicy"] = "Retain"
        return template

    def scale(self, count: int) -> int:
        """Set the number of instances as auto scaling does, and return what SageMaker describes."""
        desired: Any = [{"VariantName": "champion", "DesiredInstanceCount": count}]
        self.cloud.sagemaker.update_endpoint_weights_and_capacities(
            EndpointName=self.endpoint, DesiredWeightsAndCapacities=desired
        )
        described = self.cloud.sagemaker.describe_endpoint(EndpointName=self.endpoint)
        return described["ProductionVariants"][0]["DesiredInstanceCount"]

    def prune(self, environment: str) -> None:
        session = boto3.Session()
        prune(environment, reader=session, deleter=session, held=set(resources(session, self.name, *TYPES)))


@pytest.fixture(scope="module")
def hiding(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """Local AWS whose CloudFormation does not notice that SageMaker took an update back."""
    folder = tmp_path_factory.mktemp("hiding")
    with Cloud.started(folder, enforce_policies=False, hide_rollbacks=True) as started:
        yield started


def make(cloud: Cloud, environment: str, patch: pytest.MonkeyPatch, *, retain: bool = True) -> RetainingStack:
    cloud.connect(patch)
    stack = RetainingStack(cloud, environment)
    stack.retain = retain
    stack.create(answer="first")
    return stack


def test_an_update_that_sagemaker_took_back_leaves_an_endpoint_that_can_change(
    hiding: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given an update that SageMaker takes back, and that CloudFormation takes for complete
    stack = make(hiding, "kept", monkeypatch)
    stack.update(start="crash")
    assert stack.status == "UPDATE_COMPLETE"
    assert stack.answer == "first"
    # Then CloudFormation and the pruning keep what serves, so the endpoint can be scaled and updated
    stack.prune("kept")
    assert stack.scale(3) == 3
    stack.update(answer="fixed")
    assert stack.answer == "fixed"
    # And after that healthy update only what serves is left
    stack.prune("kept")
    outputs = stack.outputs()
    assert stack.records() == {outputs["ModelName"], outputs["ConfigName"]}
    stack.delete()


def test_without_its_configuration_an_endpoint_can_neither_be_updated_nor_scaled(
    hiding: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = make(hiding, "lost", monkeypatch, retain=False)
    stack.update(start="crash")  # CloudFormation deletes what serves
    missing = r"ValidationException.*Could not find endpoint configuration"
    with pytest.raises(ClientError, match=missing):
        stack.scale(3)
    with pytest.raises(ClientError, match=missing):
        hiding.update(stack.endpoint, hiding.config(answer="x"))
    stack.delete()


def test_pruning_leaves_what_any_endpoint_names_what_is_newer_and_other_environments(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack, other = make(cloud, "mine", monkeypatch), make(cloud, "other", monkeypatch)
    # Given a replaced release that an endpoint made by hand names, another that none names, and other's
    first = stack.outputs()
    cloud.endpoint(first["ConfigName"], name="by-hand")
    stack.update(answer="second")
    stack.update(answer="third")
    others = other.records()
    other.update(answer="second")
    # And a configuration that the next deploy has made already
    time.sleep(0.01)
    newer = cloud.config(tags=stack.tags, name=f"{stack.name}-newer", answer="newer")
    # When this environment is pruned, Then only the second release goes
    stack.prune("mine")
    third = stack.outputs()
    kept = {each[key] for each in (first, third) for key in ("ModelName", "ConfigName")}
    assert stack.records() == kept | {newer}
    assert others < other.records()
    # And with its stack and the endpoint gone, everything of it goes
    cloud.delete("by-hand")
    stack.delete()
    prune("mine", reader=boto3.Session(), deleter=boto3.Session())
    assert stack.records() == set()
    assert others < other.records()
    other.delete()
