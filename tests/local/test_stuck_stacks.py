"""Stacks that an earlier deploy left unfinished: the next one mends what it can, and says the rest."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from infra import config, names
from scripts.delivery import stacks
from scripts.delivery.cdk import cdk
from scripts.delivery.console import BusyError, DeliveryError
from scripts.delivery.synthesis import synthesize
from tests.infra.synthesis import record_for
from tests.local.cloud import AT_ONCE, IMAGE, ROLE, Cloud, wait_for
from tests.local.test_stacks import EndpointStack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOCAL = config.load("local")
REGISTRY = names.registry_stack("local")
TOPIC = {"Type": "AWS::SNS::Topic"}
ABSENT = {
    "Type": "AWS::SageMaker::Model",
    "DependsOn": "Topic",
    "Properties": {
        "ExecutionRoleArn": ROLE,
        "PrimaryContainer": {"Image": IMAGE, "ModelDataUrl": "s3://no/data"},
    },
}


@pytest.fixture(scope="module")
def assembly(tmp_path_factory: pytest.TempPathFactory) -> str:
    """All stacks of a release, synthesized."""
    folder = tmp_path_factory.mktemp("synthesized")
    synthesize(LOCAL, record=record_for("local", folder), to=folder / "assembly")
    return str(folder / "assembly")


@pytest.fixture
def registry(reached: Cloud) -> Iterator[Cloud]:
    """The laptop; its registry stack is gone at the end."""
    yield reached
    reached.stacks.update_termination_protection(StackName=REGISTRY, EnableTerminationProtection=False)
    reached.stacks.delete_stack(StackName=REGISTRY)
    reached.stacks.get_waiter("stack_delete_complete").wait(StackName=REGISTRY, WaiterConfig=AT_ONCE)


def status(cloud: Cloud, stack: str) -> str:
    return cloud.stacks.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"]


def deploy_registry(assembly: str) -> None:
    """Do what `scripts/deploy` does first, from what is synthesized already."""
    stacks.refuse_if_busy(LOCAL)
    stacks.unstick(LOCAL, assembly=assembly)
    cdk("deploy", REGISTRY, "--app", assembly, "--require-approval", "never")


def test_a_stack_that_was_only_reviewed_is_deployed(registry: Cloud, assembly: str) -> None:
    template = json.dumps({"Resources": {"Topic": TOPIC}})
    registry.stacks.create_change_set(
        StackName=REGISTRY, ChangeSetName="reviewed", ChangeSetType="CREATE", TemplateBody=template
    )
    assert status(registry, REGISTRY) == "REVIEW_IN_PROGRESS"
    deploy_registry(assembly)
    assert status(registry, REGISTRY) in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}


def test_a_stack_that_never_came_up_is_made_anew_though_it_is_protected(
    registry: Cloud, assembly: str
) -> None:
    template = json.dumps({"Resources": {"Topic": TOPIC, "Absent": ABSENT}})
    registry.stacks.create_stack(StackName=REGISTRY, TemplateBody=template, EnableTerminationProtection=True)
    wait_for(lambda: status(registry, REGISTRY) == "ROLLBACK_COMPLETE")
    deploy_registry(assembly)
    assert status(registry, REGISTRY) == "CREATE_COMPLETE"


def test_a_stack_that_is_half_deleted_is_left_to_destroy(
    reached: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # CloudFormation's own states are the only ones that count here
    half = {"StackName": REGISTRY, "StackStatus": "DELETE_FAILED"}
    monkeypatch.setattr(stacks, "_stacks", lambda _: iter([half]))
    with pytest.raises(DeliveryError, match="scripts/destroy --env local"):
        stacks.unstick(LOCAL, assembly=str(tmp_path))


class Stuck(EndpointStack):
    """The endpoint's stack, whose endpoint somebody deletes while a later part of an update fails."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud, names.endpoint_stack("local"))

    def fail_without_a_way_back(self) -> str:
        """Return the name of the configuration that the roll-back wants to serve again."""
        before = self.outputs()["ConfigName"]
        template = json.loads(self.template(artifact=self.cloud.artifact(answer="second")))
        variant = template["Resources"]["Config"]["Properties"]["ProductionVariants"][0]
        never = {
            "ModelName": self.cloud.config(start="never"),
            "ContainerStartupHealthCheckTimeoutInSeconds": 5,
        }
        template["Resources"] |= {
            "LaterConfig": {
                "Type": "AWS::SageMaker::EndpointConfig",
                "Properties": {"ProductionVariants": [variant | never]},
            },
            "Later": {
                "Type": "AWS::SageMaker::Endpoint",
                "DependsOn": "Endpoint",
                "Properties": {
                    "EndpointName": "later",
                    "EndpointConfigName": {"Fn::GetAtt": ["LaterConfig", "EndpointConfigName"]},
                },
            },
        }
        self.cloud.stacks.update_stack(StackName=self.name, TemplateBody=json.dumps(template))
        list_endpoints = self.cloud.sagemaker.list_endpoints
        wait_for(lambda: list_endpoints(NameContains="later")["Endpoints"], timeout_s=30)
        self.cloud.delete(self.endpoint)
        wait_for(lambda: self.describe()["StackStatus"] == "UPDATE_ROLLBACK_FAILED", timeout_s=60)
        return before


@pytest.fixture
def stuck(reached: Cloud) -> Iterator[Stuck]:
    made = Stuck(reached)
    made.create(answer="first")
    yield made
    made.delete()


def test_an_update_that_could_not_be_rolled_back_is_continued(stuck: Stuck, assembly: str) -> None:
    before = stuck.fail_without_a_way_back()

    # While what is missing is missing, the deploy says which stack is stuck, why, and what to do
    with pytest.raises(DeliveryError, match="cannot go back") as told:
        stacks.unstick(LOCAL, assembly=assembly)
    assert stuck.name in str(told.value)
    assert "Could not find endpoint" in str(told.value)
    assert f"npx cdk rollback {stuck.name} --orphan" in str(told.value)

    # Once it is there again, the deploy itself continues the roll-back, and updates work
    stuck.cloud.sagemaker.create_endpoint(EndpointName=stuck.endpoint, EndpointConfigName=before)
    stuck.cloud.wait(stuck.endpoint)
    stacks.unstick(LOCAL, assembly=assembly)
    assert stuck.describe()["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert stuck.cloud.ask(stuck.endpoint)["answer"] == "first"
    stuck.update(answer="mended")
    assert stuck.cloud.ask(stuck.endpoint)["answer"] == "mended"


def test_a_deploy_is_refused_while_a_stack_is_changed(stuck: Stuck) -> None:
    slow = stuck.template(artifact=stuck.cloud.artifact(answer="second", start="never"))
    short = json.loads(slow)
    variant = short["Resources"]["Config"]["Properties"]["ProductionVariants"][0]
    variant["ContainerStartupHealthCheckTimeoutInSeconds"] = 3
    stuck.cloud.stacks.update_stack(StackName=stuck.name, TemplateBody=json.dumps(short))
    with pytest.raises(BusyError, match=rf"{stuck.name} is in UPDATE_\w*IN_PROGRESS since .* UTC"):
        stacks.refuse_if_busy(LOCAL)
    wait_for(lambda: stuck.describe()["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE", timeout_s=30)
    stacks.refuse_if_busy(LOCAL)
