"""An endpoint's stack on a laptop: create, update, fail, roll back, delete, as CloudFormation does."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError, WaiterError

from tests.local.cloud import AT_ONCE, IMAGE, ROLE, Cloud

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_cloudformation.type_defs import StackTypeDef


class EndpointStack:
    """A stack of one model, one endpoint configuration and one endpoint."""

    def __init__(self, cloud: Cloud, name: str | None = None) -> None:
        self.cloud = cloud
        self.name = name or f"stack-{uuid.uuid4().hex[:8]}"
        self.endpoint = f"{self.name}-endpoint"

    def template(self, *, artifact: str, **variant: object) -> str:
        variant = {"InstanceType": "ml.m5.large", "InitialInstanceCount": 1} | variant
        container = {"Image": IMAGE, "ModelDataUrl": artifact}
        resources: dict[str, Any] = {
            "Model": {
                "Type": "AWS::SageMaker::Model",
                "Properties": {"ExecutionRoleArn": ROLE, "PrimaryContainer": container},
            },
            "Config": {
                "Type": "AWS::SageMaker::EndpointConfig",
                "Properties": {
                    "ProductionVariants": [
                        {"VariantName": "champion", "ModelName": {"Fn::GetAtt": ["Model", "ModelName"]}}
                        | variant
                    ]
                },
            },
            "Endpoint": {
                "Type": "AWS::SageMaker::Endpoint",
                "Properties": {
                    "EndpointName": self.endpoint,
                    "EndpointConfigName": {"Fn::GetAtt": ["Config", "EndpointConfigName"]},
                },
            },
            "Target": {
                "Type": "AWS::ApplicationAutoScaling::ScalableTarget",
                "Properties": {"ResourceId": {"Fn::GetAtt": ["Endpoint", "EndpointName"]}},
            },
        }
        outputs = {
            "Model": {"Value": {"Ref": "Model"}},
            "ModelName": {"Value": {"Fn::GetAtt": ["Model", "ModelName"]}},
            "ConfigName": {"Value": {"Fn::GetAtt": ["Config", "EndpointConfigName"]}},
        }
        return json.dumps({"Resources": resources, "Outputs": outputs})

    def create(self, **model: object) -> None:
        template = self.template(artifact=self.cloud.artifact(**model))
        self.cloud.stacks.create_stack(StackName=self.name, TemplateBody=template)
        self.cloud.stacks.get_waiter("stack_create_complete").wait(StackName=self.name, WaiterConfig=AT_ONCE)

    def update(self, *, variant: dict[str, object] | None = None, **model: object) -> None:
        template = self.template(artifact=self.cloud.artifact(**model), **(variant or {}))
        self.cloud.stacks.update_stack(StackName=self.name, TemplateBody=template)
        self.cloud.stacks.get_waiter("stack_update_complete").wait(StackName=self.name, WaiterConfig=AT_ONCE)

    def delete(self) -> None:
        self.cloud.stacks.delete_stack(StackName=self.name)
        self.cloud.stacks.get_waiter("stack_delete_complete").wait(StackName=self.name, WaiterConfig=AT_ONCE)

    def describe(self) -> StackTypeDef:
        return self.cloud.stacks.describe_stacks(StackName=self.name)["Stacks"][0]

    def outputs(self) -> dict[str, str]:
        return {each["OutputKey"]: each["OutputValue"] for each in self.describe()["Outputs"]}

    def reasons(self) -> str:
        """All that the stack's events say of failures."""
        events = self.cloud.stacks.describe_stack_events(StackName=self.name)["StackEvents"]
        return "\n".join(
            each["ResourceStatusReason"] for each in events if each["ResourceStatus"].endswith("_FAILED")
        )

    def records(self) -> set[str]:
        """The names of this stack's models and endpoint configurations."""
        sagemaker = self.cloud.sagemaker
        models = sagemaker.list_models(NameContains=self.name)["Models"]
        configs = sagemaker.list_endpoint_configs(NameContains=self.name)["EndpointConfigs"]
        return {each["ModelName"] for each in models} | {each["EndpointConfigName"] for each in configs}


@pytest.fixture
def stack(cloud: Cloud) -> Iterator[EndpointStack]:
    made = EndpointStack(cloud)
    yield made
    made.delete()


def test_create_names_what_the_template_leaves_unnamed(stack: EndpointStack) -> None:
    stack.create(answer="first")

    outputs = stack.outputs()
    assert stack.cloud.ask(stack.endpoint)["answer"] == "first"
    assert (
        outputs["Model"] == f"arn:aws:sagemaker:us-east-1:000000000000:model/{outputs['ModelName'].lower()}"
    )
    assert outputs["ModelName"].startswith(f"{stack.name}-Model-")
    assert stack.records() == {outputs["ModelName"], outputs["ConfigName"]}


def test_update_replaces_model_and_config_and_keeps_the_endpoint(stack: EndpointStack) -> None:
    stack.create(answer="first")
    before = stack.outputs()
    created = stack.cloud.sagemaker.describe_endpoint(EndpointName=stack.endpoint)["CreationTime"]

    stack.update(answer="second")

    after = stack.outputs()
    endpoint = stack.cloud.sagemaker.describe_endpoint(EndpointName=stack.endpoint)
    assert stack.cloud.ask(stack.endpoint)["answer"] == "second"
    assert endpoint["CreationTime"] == created
    assert endpoint["EndpointConfigName"] == after["ConfigName"] != before["ConfigName"]
    assert stack.records() == {after["ModelName"], after["ConfigName"]}  # what was replaced is deleted


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

    assert stack.describe()["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert "broken on purpose" in stack.reasons()
    assert stack.cloud.ask(stack.endpoint)["answer"] == "first"
    assert stack.outputs() == before
    assert stack.records() == {
        before["ModelName"],
        before["ConfigName"],
    }  # nothing of the failed update is left


def test_update_that_never_answers_ping_rolls_back_at_its_time_limit(stack: EndpointStack) -> None:
    stack.create(answer="first")
    with pytest.raises(WaiterError):
        stack.update(start="never", variant={"ContainerStartupHealthCheckTimeoutInSeconds": 1})
    assert "/ping did not answer 200 within 1 s" in stack.reasons()
    assert stack.cloud.ask(stack.endpoint)["answer"] == "first"


def test_update_after_a_rollback_works(stack: EndpointStack) -> None:
    stack.create(answer="first")
    with pytest.raises(WaiterError):
        stack.update(start="crash")
    stack.update(answer="mended")
    assert stack.cloud.ask(stack.endpoint)["answer"] == "mended"


def test_endpoint_goes_back_when_a_later_resource_fails(stack: EndpointStack) -> None:
    # Given an endpoint that a stack serves
    stack.create(answer="first")

    # When an update changes it, and then fails on a resource that comes after it
    template = json.loads(stack.template(artifact=stack.cloud.artifact(answer="second")))
    without_data = {
        "ExecutionRoleArn": ROLE,
        "PrimaryContainer": {"Image": IMAGE, "ModelDataUrl": "s3://no/data"},
    }
    later = {"Type": "AWS::SageMaker::Model", "DependsOn": "Endpoint", "Properties": without_data}
    template["Resources"]["Later"] = later
    stack.cloud.stacks.update_stack(StackName=stack.name, TemplateBody=json.dumps(template))
    with pytest.raises(WaiterError):
        stack.cloud.stacks.get_waiter("stack_update_complete").wait(
            StackName=stack.name, WaiterConfig=AT_ONCE
        )

    # Then the endpoint serves what it served before
    assert stack.describe()["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert stack.cloud.ask(stack.endpoint)["answer"] == "first"


def test_real_time_to_serverless_is_refused_and_rolled_back(stack: EndpointStack) -> None:
    stack.create(answer="first")
    serverless = {"MemorySizeInMB": 1024, "MaxConcurrency": 1}
    with pytest.raises(WaiterError):
        stack.update(answer="second", variant={"ServerlessConfig": serverless})
    assert "real-time to serverless" in stack.reasons()
    assert stack.cloud.ask(stack.endpoint)["answer"] == "first"


def test_create_that_does_not_come_up_leaves_nothing(stack: EndpointStack) -> None:
    with pytest.raises(WaiterError):
        stack.create(start="crash")

    assert stack.describe()["StackStatus"] == "ROLLBACK_COMPLETE"
    assert "broken on purpose" in stack.reasons()
    assert not stack.records()
    with pytest.raises(ClientError, match="Could not find endpoint"):
        stack.cloud.sagemaker.describe_endpoint(EndpointName=stack.endpoint)


def test_delete_leaves_nothing(stack: EndpointStack) -> None:
    stack.create(answer="first")
    stack.delete()
    assert not stack.records()
    with pytest.raises(ClientError, match="not found"):
        stack.cloud.ask(stack.endpoint)
