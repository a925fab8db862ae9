"""An endpoint's stack in local AWS: create, update, fail, roll back, delete, as CloudFormation does."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError, WaiterError

from infra.emulator.sagemaker.model_server import ModelServer
from infra.emulator.sagemaker.resources import ServerError
from infra.paths import ROOT
from tests.emulator.cloud import IMAGE, ROLE
from tests.emulator.deployment import EndpointStack, resource

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.emulator.cloud import Cloud


@pytest.fixture
def stack(cloud: Cloud) -> Iterator[EndpointStack]:
    made = EndpointStack(cloud)
    yield made
    made.delete()


def test_create_names_what_the_template_leaves_unnamed(stack: EndpointStack) -> None:
    stack.create(answer="first")

    outputs = stack.outputs()
    assert stack.answer == "first"
    assert outputs["Model"].endswith(f":000000000000:model/{outputs['ModelName'].lower()}")
    assert outputs["ModelName"].startswith(f"{stack.name}-Model-")
    assert stack.records() == {outputs["ModelName"], outputs["ConfigName"]}

    stack.delete()
    assert not stack.records()
    with pytest.raises(ClientError, match="not found"):
        stack.cloud.invoke(stack.endpoint)


def test_update_replaces_model_and_config_and_keeps_the_endpoint(stack: EndpointStack) -> None:
    stack.create(answer="first")
    before = stack.outputs()
    created = stack.cloud.sagemaker.describe_endpoint(EndpointName=stack.endpoint)["CreationTime"]

    stack.update(answer="second")

    after = stack.outputs()
    endpoint = stack.cloud.sagemaker.describe_endpoint(EndpointName=stack.endpoint)
    assert stack.answer == "second"
    assert endpoint["CreationTime"] == created
    assert endpoint["EndpointConfigName"] == after["ConfigName"] != before["ConfigName"]
    assert stack.records() == {after["ModelName"], after["ConfigName"]}  # the former ones are deleted


def test_same_template_deploys_nothing(stack: EndpointStack) -> None:
    stack.create(answer="first")
    template = stack.cloud.stacks.get_template(StackName=stack.name)["TemplateBody"]
    with pytest.raises(ClientError, match="No updates are to be performed"):
        stack.cloud.stacks.update_stack(StackName=stack.name, TemplateBody=json.dumps(template))


def test_update_that_does_not_come_up_rolls_back_with_the_reason(stack: EndpointStack) -> None:
    stack.create(answer="first")
    before = stack.outputs()

    with pytest.raises(WaiterError):
        stack.update(start="crash")

    assert stack.status == "UPDATE_ROLLBACK_COMPLETE"
    assert "broken on purpose" in stack.reasons()
    assert stack.answer == "first"
    assert stack.outputs() == before
    # And nothing of the failed update is left, and the next one works
    assert stack.records() == {before["ModelName"], before["ConfigName"]}
    stack.update(answer="second")
    assert stack.answer == "second"


def test_a_server_that_never_answers_ping_is_given_up_at_its_time_limit(tmp_path: Path) -> None:
    # SageMaker's least limit is a minute, so the server alone is started here
    (tmp_path / "behaviour.json").write_text('{"start": "never"}')
    environment = {"MODEL_DIR": str(tmp_path), "PYTHONPATH": str(ROOT), "SAGEMAKER_BIND_TO_PORT": "0"}
    command = [sys.executable, "-m", "tests.emulator.fake_server"]
    server = ModelServer(command, label="never", write=print, environment=environment)
    with pytest.raises(ServerError, match="/ping did not answer 200 within 1 s"):
        server.wait_until_ready(timeout_s=1)
    server.stop()


def test_endpoint_goes_back_when_a_later_resource_fails(stack: EndpointStack) -> None:
    # Given an endpoint that a stack serves
    stack.create(answer="first")

    # When an update changes it, and then fails on a resource that comes after it
    template = stack.template(answer="second")
    absent = {"Image": IMAGE, "ModelDataUrl": "s3://no/data"}
    later = resource("SageMaker::Model", ExecutionRoleArn=ROLE, PrimaryContainer=absent)
    template["Resources"]["Later"] = later | {"DependsOn": "Endpoint"}
    with pytest.raises(WaiterError):
        stack.cloud.update_stack(stack.name, template)

    # Then the endpoint serves the first model again
    assert stack.status == "UPDATE_ROLLBACK_COMPLETE"
    assert stack.answer == "first"


def test_create_that_does_not_come_up_leaves_nothing(stack: EndpointStack) -> None:
    with pytest.raises(WaiterError):
        stack.create(start="crash")

    assert stack.status == "ROLLBACK_COMPLETE"
    assert "broken on purpose" in stack.reasons()
    assert not stack.records()
    with pytest.raises(ClientError, match="Could not find endpoint"):
        stack.cloud.sagemaker.describe_endpoint(EndpointName=stack.endpoint)
