"""Updates of an endpoint under auto scaling: what SageMaker refuses, and how a deploy gets there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import WaiterError

from infra import config
from scripts.delivery.stacks import suspend_scaling
from tests.emulator.deployment import EndpointStack, resource

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.emulator.cloud import Cloud

LOCAL = config.load("local")
LARGER = {"InstanceType": "ml.c7i.xlarge"}


class ScaledStack(EndpointStack):
    """The local environment's endpoint stack, with a scalable target and its policy."""

    def template(self, *, scaled: bool = True, **changes: Any) -> dict[str, Any]:
        template = super().template(**changes)
        scaling = {"PolicyName": "concurrency", "ScalingTargetId": {"Ref": "Target"}}
        template["Resources"]["Policy"] = resource("ApplicationAutoScaling::ScalingPolicy", **scaling)
        if not scaled:
            del template["Resources"]["Target"], template["Resources"]["Policy"]
        return template

    @property
    def instance_type(self) -> str:
        described = self.cloud.sagemaker.describe_endpoint(EndpointName=self.endpoint)
        name = described["EndpointConfigName"]
        (variant,) = self.cloud.sagemaker.describe_endpoint_config(EndpointConfigName=name)[
            "ProductionVariants"
        ]
        return variant["InstanceType"]

    @property
    def scaled(self) -> bool:
        found = self.cloud.stacks.describe_stack_resources(StackName=self.name)["StackResources"]
        return "AWS::ApplicationAutoScaling::ScalableTarget" in {each["ResourceType"] for each in found}


@pytest.fixture
def stack(bootstrapped: Cloud) -> Iterator[ScaledStack]:
    made = ScaledStack(bootstrapped, "local")
    made.create(answer="first")
    yield made
    made.delete()


@pytest.mark.parametrize("scaled", [True, False], ids=["type-change", "type-change-and-removal"])
def test_another_instance_type_takes_two_steps(stack: ScaledStack, tmp_path: Path, scaled: bool) -> None:
    # Given a change of the instance type, which CloudFormation cannot make in one step
    template = stack.template(scaled=scaled, variant=LARGER, answer="second")
    with pytest.raises(WaiterError):
        stack.cloud.update_stack(stack.name, template)
    assert 'The variant(s) "[champion]" must be deregistered as a scalable target' in stack.reasons()
    assert (stack.instance_type, stack.answer) == ("ml.m5.large", "first")
    # When the scaling is removed first, as scripts/deploy does, and then the template is deployed
    (tmp_path / f"{stack.name}.template.json").write_text(json.dumps(template))
    assert suspend_scaling(LOCAL, assembly=tmp_path) is scaled
    assert (stack.instance_type, stack.answer, stack.scaled) == ("ml.m5.large", "first", False)
    stack.cloud.update_stack(stack.name, template)
    # Then the new type serves, and is scaled where the template says so; the stack's tags were kept
    assert (stack.instance_type, stack.answer, stack.scaled) == ("ml.c7i.xlarge", "second", scaled)
    (described,) = stack.cloud.stacks.describe_stacks(StackName=stack.name)["Stacks"]
    assert described["Tags"] == stack.tags


def test_another_model_under_scaling_takes_one_step(stack: ScaledStack, tmp_path: Path) -> None:
    template = stack.template(answer="second")
    (tmp_path / f"{stack.name}.template.json").write_text(json.dumps(template))
    assert not suspend_scaling(LOCAL, assembly=tmp_path)
    assert stack.scaled
    stack.cloud.update_stack(stack.name, template)
    assert stack.answer == "second"
