"""Prod's own settings in the emulator's account: deployed, called, delivered to and destroyed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from infra import names, release
from infra.emulator import LocalAws
from infra.local_aws import ACCOUNT
from infra.release import artifact_key
from scripts.delivery import engine
from scripts.delivery.aws import SMOKE_ROLE
from tests.e2e.conftest import copy_tree
from tests.e2e.load import assert_problem, predict
from tests.e2e.production import (
    REPOSITORY,
    SETTINGS,
    Production,
    assume_with_github_token,
    keys_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import requests

    from tests.e2e.conftest import Demo

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def prod(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Production]:
    """A bootstrapped account in prod's region; the MLflow store holds the demo's model."""
    copy = copy_tree(to=tmp_path_factory.mktemp("prod"))
    log = tmp_path_factory.mktemp("prod-aws") / "aws.log"
    chosen = engine.choose("auto").name
    with LocalAws(port=0, engine=chosen, log=log, region=SETTINGS.region, enforce_policies=True) as aws:
        made = Production(copy, aws.port, demo.root / "mlruns" / "mlflow.db")
        made.run("node_modules/.bin/cdk", "bootstrap", f"aws://{ACCOUNT}/{SETTINGS.region}")
        yield made


def test_prod_from_its_first_deploy_to_its_end(prod: Production) -> None:
    prod.move("api_key")
    prod.command("deploy")  # the registry stack alone, as nothing is released yet
    prod.command("promote", "--model", "tumor-detector-phantom")
    url = prod.deploy()

    assert_problem(predict(url), 403)
    assert_predicted(prod, predict(url, **{"x-api-key": prod.api_key()}))
    check_what_github_jobs_may_do(prod)

    prod.move("cognito")
    assert prod.deploy() == url
    assert_problem(predict(url), 401)
    check_that_destroying_keeps_the_data(prod)

    # What was kept is taken over by the next deploy
    prod.move("api_key")
    assert_predicted(prod, predict(prod.deploy(), **{"x-api-key": prod.api_key()}))


def assert_predicted(prod: Production, response: requests.Response) -> None:
    """The model of the release record predicted."""
    assert response.status_code == 200, response.text
    assert response.json()["model"]["sha256"] == release.load(prod.record).model.sha256
    assert response.json()["label"] in {"YES", "NO"}


def check_what_github_jobs_may_do(prod: Production) -> None:
    # Given the delivery stack, and a job of prod's environment on GitHub
    settings, stack = prod.settings.read_text(), names.stack("prod", "delivery")
    prod.settings.write_text(f'{settings}\n[github]\nrepository = "{REPOSITORY}"\n')
    prod.run("node_modules/.bin/cdk", "deploy", stack, "-c", "env=prod", "--require-approval", "never")
    delivery, smoke = (prod.stack_outputs("delivery")[key] for key in ("DeliveryRoleArn", "SmokeRoleArn"))
    keys = assume_with_github_token(prod.client("sts"), delivery)
    job = replace(prod, credentials={**keys, SMOKE_ROLE: smoke})

    # It may deploy changes, one of which takes two steps under scaling, and smoke-test them, by other roles
    with pytest.raises(ClientError, match="not authorized"):
        job.client("cloudformation").describe_stacks()
    changed = prod.settings.read_text().replace("burst = 100", "burst = 99")
    prod.settings.write_text(changed.replace("ml.c7i.large", "ml.c7i.xlarge"))
    assert "removing the auto scaling" in job.command("deploy")
    job.command("smoke")
    stage = {"restApiId": prod.stack_outputs("gateway")["ApiId"], "stageName": names.STAGE_NAME}
    method_settings = prod.client("apigateway").get_stage(**stage)["methodSettings"]["*/*"]
    assert method_settings["throttlingBurstLimit"] == 99

    # The smoke role reads no key of another environment
    gateway = prod.client("apigateway")
    another = gateway.create_api_key(name="another", tags={"project": names.PROJECT, "environment": "dev"})
    assumed = job.client("sts").assume_role(RoleArn=smoke, RoleSessionName="smoke")
    tester = replace(prod, credentials=keys_of(assumed["Credentials"])).client("apigateway")
    own = prod.stack_outputs("gateway")["ApiKeyId"]
    assert tester.get_api_key(apiKey=own, includeValue=True)["value"]
    with pytest.raises(ClientError, match=r"\(AccessDenied"):
        tester.get_api_key(apiKey=another["id"], includeValue=True)
    gateway.delete_api_key(apiKey=another["id"])

    # No other job may assume the delivery role
    for claim in (
        {"subject": "owner/tumor-detector:environment:prod"},  # without the ids anybody could take the name
        {"subject": "owner@12/another@56:environment:prod"},
        {"subject": f"{REPOSITORY}:environment:prod-watch"},
        {"subject": f"{REPOSITORY}:ref:refs/heads/main"},
        {"audience": "another.example.org"},
        {"issuer": "tokens.example.org"},
    ):
        with pytest.raises(ClientError, match=r"\(AccessDenied\)"):
            assume_with_github_token(prod.client("sts"), delivery, **claim)

    cloud = prod.client("cloudformation")
    cloud.update_termination_protection(StackName=stack, EnableTerminationProtection=False)
    cloud.delete_stack(StackName=stack)
    cloud.get_waiter("stack_delete_complete").wait(StackName=stack, WaiterConfig={"Delay": 1})


def check_that_destroying_keeps_the_data(prod: Production) -> None:
    bucket = prod.stack_outputs("registry")["BucketName"]
    pool = prod.stack_outputs("gateway")["UserPoolId"]
    prod.client("cognito-idp").admin_create_user(UserPoolId=pool, Username="ada@example.org")
    # When a person types the environment's name
    errors = prod.command("destroy", "--lift-protection", typed="prod\n")
    # Then nothing runs any more
    assert prod.stacks() == {"CDKToolkit"}
    assert prod.client("sagemaker").list_endpoints()["Endpoints"] == []
    assert prod.client("lambda").list_functions()["Functions"] == []
    # And the artifact, the images and the users are kept, and named
    key = artifact_key(release.load(prod.record).model.sha256)
    assert prod.client("s3").head_object(Bucket=bucket, Key=key)["ContentLength"]
    repositories = prod.client("ecr").describe_repositories()["repositories"]
    assert names.deployment("prod") in {each["repositoryName"] for each in repositories}
    assert len(prod.client("cognito-idp").list_users(UserPoolId=pool)["Users"]) == 1
    kept = errors.partition("prod is deleted. Kept")[2]
    for name in (bucket, pool, names.deployment("prod")):
        assert name in kept
