"""The checks before a deploy and after it, and the environment of the CDK CLI."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import boto3
import pytest

from infra import config
from scripts.commands import drift
from scripts.console import DeliveryError
from scripts.delivery import artifacts, deployment, engine, stacks
from scripts.delivery.cdk import cdk, environment
from scripts.delivery.pruning import prune
from tests.delivery.aws_answers import Answers, refusal
from tests.infra.synthesis import record_for

if TYPE_CHECKING:
    from pathlib import Path

DEV = config.load("dev")
REFUSED = refusal("AccessDenied", "not authorized")


@pytest.mark.parametrize(
    ("environment", "digest", "error"),
    [("dev", "", "scripts/dev pin base"), ("dev", "@sha256:00", "reached"), ("local", "", "reached")],
)
def test_on_aws_a_base_image_that_is_not_pinned_is_refused_before_anything(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, environment: str, digest: str, error: str
) -> None:
    (tmp_path / "Dockerfile").write_text(f"ARG BASE_IMAGE=python:3.11-slim{digest}\n")
    monkeypatch.setattr(engine, "DOCKERFILE", tmp_path / "Dockerfile")
    monkeypatch.setattr(stacks, "refuse_if_busy", Mock(side_effect=DeliveryError("reached")))
    with pytest.raises(DeliveryError, match=error):
        deployment.deploy(config.load(environment), record=record_for(environment, tmp_path))


def test_a_deploy_that_cannot_read_the_stacks_stops_and_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(stacks, "bootstrap_session", Mock(side_effect=REFUSED))
    with pytest.raises(DeliveryError, match=r"cannot be read with the bootstrap's lookup role"):
        deployment.deploy(DEV, record=tmp_path / "absent.json")


def test_a_failed_deploy_is_reported_even_if_the_stacks_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(deployment, "cdk", Mock(side_effect=DeliveryError("the CDK's own reason")))
    monkeypatch.setattr(stacks, "bootstrap_session", Mock(side_effect=REFUSED))
    with pytest.raises(DeliveryError, match=r"^the CDK's own reason$"):
        deployment.deploy_stacks(DEV, "--all", assembly="nowhere")


@pytest.mark.parametrize("suspended", [True, False])
def test_a_deploy_that_fails_after_scaling_was_suspended_says_what_restores_it(
    suspended: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def deploy_stacks(_settings: object, what: str, *, assembly: str) -> None:
        if what == "--all":
            raise DeliveryError("the endpoint failed")

    for name in ("refuse_if_busy", "refuse_to_replace_log_role", "recover_stacks", "needs_creation"):
        monkeypatch.setattr(stacks, name, lambda *_, **__: False)
    monkeypatch.setattr(deployment, "synthesize", lambda *_, **__: None)
    monkeypatch.setattr(deployment, "deploy_stacks", deploy_stacks)
    monkeypatch.setattr(deployment, "stack_outputs", lambda _: {"BucketName": "models"})
    monkeypatch.setattr(artifacts, "ensure_uploaded", lambda *_, **__: None)
    monkeypatch.setattr(artifacts, "push_image", lambda *_, **__: None)
    monkeypatch.setattr(stacks, "suspend_scaling", lambda *_, **__: suspended)
    with pytest.raises(DeliveryError, match="the endpoint failed"):
        deployment.deploy(config.load("local"), record=record_for("local", tmp_path))
    warned = "has no auto scaling until" in (shown := capsys.readouterr().err)
    assert warned == ("The next `scripts/deploy --env local` restores it" in shown) == suspended


def test_pruning_goes_on_after_a_failure_and_names_each(monkeypatch: pytest.MonkeyPatch) -> None:
    arn = f"arn:aws:sagemaker:{DEV.region}:123456789012"
    created = {"CreationTime": datetime(2026, 11, 1, tzinfo=UTC)}
    one = {"EndpointConfigName": "one", "EndpointConfigArn": f"{arn}:endpoint-config/one", **created}
    two = {"ModelName": "two", "ModelArn": f"{arn}:model/two", **created}
    tagged = [{"ResourceARN": each} for each in (one["EndpointConfigArn"], two["ModelArn"])]
    answers = Answers(
        {
            "GetResources": {"ResourceTagMappingList": tagged},
            "ListEndpoints": {"Endpoints": []},
            "ListEndpointConfigs": {"EndpointConfigs": [one]},
            "ListModels": {"Models": [two]},
            "DeleteEndpointConfig": refusal("ThrottlingException"),
            "DeleteModel": refusal("ThrottlingException"),
        }
    )
    answers.install(monkeypatch)
    session = boto3.Session(region_name=DEV.region)
    with pytest.raises(DeliveryError, match=r"^one cannot be deleted: .*\ntwo cannot be deleted: "):
        prune("dev", reader=session, deleter=session)


def test_a_protected_environment_whose_alarms_reach_nobody_is_warned_about(
    capsys: pytest.CaptureFixture[str],
) -> None:
    prod = config.load("prod")
    deployment.warn_without_recipients(prod)
    assert "alarms and budget of prod reach nobody" in "".join(capsys.readouterr())
    assert prod.monitoring
    told = replace(prod, monitoring=replace(prod.monitoring, emails=("on-call@example.org",)))
    for settings in (told, DEV):
        deployment.warn_without_recipients(settings)
    assert "".join(capsys.readouterr()) == ""


def test_an_api_key_that_cannot_be_read_is_not_reported() -> None:
    resource: Any = {
        "ResourceType": "AWS::ApiGateway::ApiKey",
        "LogicalResourceId": "It",
        "PhysicalResourceId": "it",
        "StackResourceDriftStatus": "UNKNOWN",
        "DriftStatusReason": "not authorized",
    }
    assert list(drift._resource_differences(resource)) == []


@pytest.mark.parametrize(("local", "reason"), [(True, "--app is required"), (False, "exited with error 7")])
def test_the_users_own_cdk_configuration_applies_only_on_aws(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, local: bool, reason: str
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / ".cdk.json").write_text('{"app": "exit 7"}')
    monkeypatch.setenv("HOME", str(home))
    with pytest.raises(DeliveryError, match=reason):
        cdk("ls", local=local, root=tmp_path)


def test_docker_keeps_its_configuration_without_the_users_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.delenv("DOCKER_CONFIG", raising=False)
    assert environment(user_configuration=False)["DOCKER_CONFIG"] == "/home/someone/.docker"
    monkeypatch.setenv("DOCKER_CONFIG", "/etc/docker")
    assert environment(user_configuration=False)["DOCKER_CONFIG"] == "/etc/docker"
