"""Commands with the real CDK CLI: a deploy after one that was left unfinished, and drift.

A deploy repairs stacks where it can, and names the others.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from infra import config, names
from scripts.commands.drift import drift
from scripts.console import BusyError, DeliveryError
from scripts.delivery import stacks
from scripts.delivery.cdk import cdk, synthesize
from scripts.delivery.deployment import deploy
from tests.emulator.cloud import IMAGE, ROLE, Cloud, wait_for
from tests.emulator.deployment import EndpointStack, resource
from tests.infra.synthesis import record_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOCAL = config.load("local")
REGISTRY = names.stack("local", "registry")
TOPIC = resource("SNS::Topic")
ABSENT = resource(
    "SageMaker::Model",
    ExecutionRoleArn=ROLE,
    PrimaryContainer={"Image": IMAGE, "ModelDataUrl": "s3://no/data"},
)


@pytest.fixture(scope="module")
def assembly(tmp_path_factory: pytest.TempPathFactory) -> str:
    """All stacks of a release, synthesized."""
    folder = tmp_path_factory.mktemp("synthesized")
    synthesize(LOCAL, record=record_for("local", folder), to=folder / "assembly")
    return str(folder / "assembly")


@pytest.fixture
def registry(bootstrapped: Cloud) -> Iterator[Cloud]:
    """Local AWS; its registry stack is gone at the end."""
    yield bootstrapped
    bootstrapped.stacks.update_termination_protection(StackName=REGISTRY, EnableTerminationProtection=False)
    bootstrapped.delete_stack(REGISTRY)


def deploy_registry(assembly: str) -> None:
    """Do what `scripts/deploy` does first, with stacks that are synthesized already."""
    stacks.refuse_if_busy(LOCAL)
    stacks.recover_stacks(LOCAL, assembly=assembly)
    cdk("deploy", REGISTRY, "--app", assembly, "--require-approval", "never", local=True)


def test_a_stack_that_was_only_reviewed_is_deployed(registry: Cloud, assembly: str) -> None:
    template = json.dumps({"Resources": {"Topic": TOPIC}})
    registry.stacks.create_change_set(
        StackName=REGISTRY, ChangeSetName="reviewed", ChangeSetType="CREATE", TemplateBody=template
    )
    assert registry.stack_status(REGISTRY) == "REVIEW_IN_PROGRESS"
    deploy_registry(assembly)
    assert registry.stack_status(REGISTRY) in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}


def test_a_protected_stack_whose_creation_failed_is_replaced(registry: Cloud, assembly: str) -> None:
    template = json.dumps({"Resources": {"Topic": TOPIC, "Absent": ABSENT | {"DependsOn": "Topic"}}})
    registry.stacks.create_stack(StackName=REGISTRY, TemplateBody=template, EnableTerminationProtection=True)
    wait_for(lambda: registry.stack_status(REGISTRY) == "ROLLBACK_COMPLETE")
    deploy_registry(assembly)
    assert registry.stack_status(REGISTRY) == "CREATE_COMPLETE"


def test_a_stack_that_is_half_deleted_is_left_to_destroy(
    bootstrapped: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = {"StackName": REGISTRY, "StackStatus": "DELETE_FAILED"}
    monkeypatch.setattr(stacks, "environment_stacks", lambda _: [half])
    with pytest.raises(DeliveryError, match="scripts/destroy --env local"):
        stacks.recover_stacks(LOCAL, assembly=str(tmp_path))


class Stuck(EndpointStack):
    """An endpoint's stack whose endpoint is deleted by hand while a later part of an update fails."""

    def fail_without_rollback(self) -> str:
        """Return the name of the configuration that the rollback needs."""
        before = self.outputs()["ConfigName"]
        template = self.template(answer="second")
        (variant,) = template["Resources"]["Config"]["Properties"]["ProductionVariants"]
        never = {"ModelName": self.cloud.config(start="late crash", seconds=5)}
        config_name = {"Fn::GetAtt": ["LaterConfig", "EndpointConfigName"]}
        later = resource("SageMaker::Endpoint", EndpointName="later", EndpointConfigName=config_name)
        template["Resources"] |= {
            "LaterConfig": resource("SageMaker::EndpointConfig", ProductionVariants=[variant | never]),
            "Later": later | {"DependsOn": "Endpoint"},
        }
        self.cloud.stacks.update_stack(StackName=self.name, TemplateBody=json.dumps(template))
        list_endpoints = self.cloud.sagemaker.list_endpoints
        wait_for(lambda: list_endpoints(NameContains="later")["Endpoints"], timeout_s=30)
        self.cloud.delete(self.endpoint)
        wait_for(lambda: self.status == "UPDATE_ROLLBACK_FAILED", timeout_s=60)
        return before


@pytest.fixture
def stuck(bootstrapped: Cloud) -> Iterator[Stuck]:
    made = Stuck(bootstrapped, "local")
    made.create(answer="first")
    yield made
    made.delete()


def test_an_update_that_could_not_be_rolled_back_is_continued(stuck: Stuck, assembly: str) -> None:
    before = stuck.fail_without_rollback()

    # While the endpoint is missing, the deploy reports which stack is stuck, why, and what to do
    with pytest.raises(DeliveryError, match="is stuck in") as caught:
        stacks.recover_stacks(LOCAL, assembly=assembly)
    assert stuck.name in str(caught.value)
    assert "Could not find endpoint" in str(caught.value)
    assert f"scripts/cdk rollback {stuck.name} --orphan" in str(caught.value)

    # Once it is there again, the deploy itself continues the rollback, and updates work
    stuck.cloud.endpoint(before, name=stuck.endpoint)
    stacks.recover_stacks(LOCAL, assembly=assembly)
    assert stuck.status == "UPDATE_ROLLBACK_COMPLETE"
    assert stuck.answer == "first"
    stuck.update(answer="fixed")
    assert stuck.answer == "fixed"


def test_a_deploy_is_refused_while_a_stack_is_changed(stuck: Stuck) -> None:
    slow = stuck.template(start="late crash", seconds=3)
    stuck.cloud.stacks.update_stack(StackName=stuck.name, TemplateBody=json.dumps(slow))
    busy = rf"{stuck.name} has been in UPDATE_\w*IN_PROGRESS since .* UTC.*another deployment"
    with pytest.raises(BusyError, match=busy) as error:
        stacks.refuse_if_busy(LOCAL)
    assert error.value.status == 75
    wait_for(lambda: stuck.status == "UPDATE_ROLLBACK_COMPLETE", timeout_s=30)
    stacks.refuse_if_busy(LOCAL)


def test_drift_is_a_resource_that_was_removed_by_hand(registry: Cloud, tmp_path: Path) -> None:
    unreleased = tmp_path / "absent.json"
    deploy(LOCAL, record=unreleased)
    # What is as it was deployed is no drift
    drift(LOCAL, record=unreleased)
    # When the repository is removed, Then it is named, and the command fails
    registry.ecr.delete_repository(repositoryName=names.deployment("local"), force=True)
    repository = rf"{REGISTRY}: AWS::ECR::Repository \w+ \({names.deployment('local')}\) was deleted"
    with pytest.raises(DeliveryError, match=repository):
        drift(LOCAL, record=unreleased)
