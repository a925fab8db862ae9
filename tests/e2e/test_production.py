"""Prod's own file in a laptop's account: it is deployed, lets in whom it says, and goes as it says.

The tests of this file build on each other, in this order, as the days of an environment do.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
import requests
from botocore.exceptions import ClientError
from playwright.sync_api import expect, sync_playwright

from infra import names
from infra.local import ACCOUNT, LocalAws
from infra.release import artifact_key
from model import phantom
from scripts.delivery import engine
from scripts.delivery.aws import SMOKE_ROLE
from tests.browser import find_chromium
from tests.e2e.callers import ConstantLoad
from tests.e2e.conftest import copy_tree
from tests.e2e.production import REPOSITORY, SETTINGS, STACKS, Production, keys_of, take, working
from tests.e2e.releases import repackage, with_unspeakable_labels, write_record
from tests.gateway.visit import file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.e2e.conftest import Laptop

IMAGE = phantom.png(seed=7, lesion=True)
PERSON, PASSWORD = "ada@example.org", "Correct-horse-7-battery"
# What prod declares and a laptop's AWS keeps no more of than its name.
ONLY_RECORDED = {
    "AWS::ApplicationAutoScaling::ScalableTarget",
    "AWS::ApplicationAutoScaling::ScalingPolicy",
    "AWS::WAFv2::LoggingConfiguration",
}


@pytest.fixture(scope="module")
def prod(laptop: Laptop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Production]:
    """An account of prod's own region, with the model that the demo trained promoted there."""
    copy = copy_tree(to=tmp_path_factory.mktemp("prod"))
    log = tmp_path_factory.mktemp("prod-aws") / "aws.log"
    chosen = engine.choose("auto").name
    with LocalAws(port=0, engine=chosen, log=log, region=SETTINGS.region, enforce_policies=True) as aws:
        made = Production(copy, aws.port, log, laptop.root / "mlruns" / "mlflow.db")
        made.run("node_modules/.bin/cdk", "bootstrap", f"aws://{ACCOUNT}/{SETTINGS.region}")
        yield made


@pytest.fixture(scope="module")
def asks_for_a_key(prod: Production) -> str:
    """The gateway's URL after the first deploy, which lets in who has a key."""
    prod.move("api_key")
    prod.run("scripts/deploy", "--env", "prod")  # the registry stack alone, as nothing is released yet
    prod.run("scripts/promote", "--env", "prod", "--model", "tumor-detector-phantom")
    return prod.deploy()


@pytest.fixture(scope="class")
def roles(prod: Production, asks_for_a_key: str) -> Iterator[Mapping[str, str]]:
    """The delivery stack's roles, by the names of its outputs; the stack goes at the end."""
    settings, stack = prod.root / "infra" / "environments" / "prod.toml", names.delivery_stack("prod")
    before = settings.read_text()
    settings.write_text(f'{before}\n[github]\nrepository = "{REPOSITORY}"\n')
    try:
        prod.run("node_modules/.bin/cdk", "deploy", stack, "-c", "env=prod", "--require-approval", "never")
        yield prod.outputs("delivery")
    finally:
        settings.write_text(before)
    cloud = prod.client("cloudformation")
    cloud.update_termination_protection(StackName=stack, EnableTerminationProtection=False)
    cloud.delete_stack(StackName=stack)
    cloud.get_waiter("stack_delete_complete").wait(StackName=stack, WaiterConfig={"Delay": 1})


@pytest.fixture(scope="module")
def lets_people_sign_in(prod: Production, asks_for_a_key: str) -> str:
    """The same gateway after the second deploy, which lets in who has signed in; one person is invited."""
    prod.move("cognito")
    url = prod.deploy()
    people, pool = prod.client("cognito-idp"), prod.outputs("gateway")["UserPoolId"]
    people.admin_create_user(UserPoolId=pool, Username=PERSON, MessageAction="SUPPRESS")
    people.admin_set_user_password(UserPoolId=pool, Username=PERSON, Password=PASSWORD, Permanent=True)
    assert url == asks_for_a_key
    return url


def ask(url: str, **headers: str) -> requests.Response:
    headers = {"Content-Type": "image/png", **headers}
    return requests.post(f"{url}/predict", data=IMAGE, headers=headers, timeout=60)


def assert_kept_out(answer: requests.Response, status: int) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["status"] == status


def assert_released(prod: Production, answer: requests.Response) -> None:
    """The model answered that the record names."""
    assert answer.status_code == 200, answer.text
    record = json.loads((prod.root / "infra/releases/prod.json").read_text())
    assert answer.json()["model"]["sha256"] == record["model"]["sha256"]
    assert answer.json()["label"] in {"YES", "NO"}


def test_a_key_lets_in_and_nothing_else_does(prod: Production, asks_for_a_key: str) -> None:
    key = prod.api_key()
    assert_kept_out(ask(asks_for_a_key), 403)
    assert_kept_out(ask(asks_for_a_key, **{"x-api-key": f"{key}x"}), 403)
    assert_released(prod, ask(asks_for_a_key, **{"x-api-key": key}))


def test_prods_own_guardrails_take_a_failing_release_back(prod: Production, asks_for_a_key: str) -> None:
    # Given what serves, and a release of a model that comes up and fails at each image
    record = prod.root / "infra" / "releases" / "prod.json"
    released = record.read_text()
    sagemaker, endpoint = prod.client("sagemaker"), names.endpoint("prod", mode="real-time")
    config_before = sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointConfigName"]
    broken = repackage(prod, json.loads(released)["model"]["sha256"], with_unspeakable_labels)
    write_record(record, json.loads(released), broken, version="2")
    # When it is deployed while people call, all of them together within the throttle of prod
    callers, pause_s = 4, 0.1
    assert SETTINGS.throttle.requests_per_second > callers / pause_s
    key = {"x-api-key": prod.api_key()}
    load = ConstantLoad(asks_for_a_key, callers=callers, pause_s=pause_s, headers=key)
    with load:
        done = prod.run("scripts/deploy", "--env", "prod", check=False)
    record.write_text(released)
    # Then the canary is taken back, the command says so, and what served before serves
    assert done.returncode == 1, done.stderr
    assert "The update was taken back" in done.stderr
    assert {failure.partition(":")[0] for failure in load.failures} == {"502"}, load.failures
    assert sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointConfigName"] == config_before
    assert_released(prod, ask(asks_for_a_key, **{"x-api-key": prod.api_key()}))


class TestAWorkflow:
    def test_it_delivers_and_proves_what_serves_by_its_roles_alone(
        self, prod: Production, roles: Mapping[str, str], asks_for_a_key: str
    ) -> None:
        # Given a job of prod's environment at GitHub, which can do nothing by itself, and a change to deliver
        keys = take(prod, roles["DeliveryRoleArn"])
        job = working(prod, {**keys, SMOKE_ROLE: roles["SmokeRoleArn"]})
        with pytest.raises(ClientError, match="not authorized"):
            job.client("cloudformation").describe_stacks()
        settings = prod.root / "infra" / "environments" / "prod.toml"
        settings.write_text(settings.read_text().replace("burst = 100", "burst = 99"))
        # When it runs what the workflow runs, Then that is deployed, and found to be what was released
        job.run("scripts/deploy", "--env", "prod")
        job.run("scripts/smoke", "--env", "prod")
        stage = {"restApiId": prod.outputs("gateway")["ApiId"], "stageName": names.STAGE_NAME}
        assert (
            prod.client("apigateway").get_stage(**stage)["methodSettings"]["*/*"]["throttlingBurstLimit"]
            == 99
        )

    def test_the_role_that_proves_reads_no_key_of_another_environment(
        self, prod: Production, roles: Mapping[str, str]
    ) -> None:
        keys = prod.client("apigateway")
        another = keys.create_api_key(name="another", tags={"project": names.PROJECT, "environment": "dev"})
        job = working(prod, take(prod, roles["DeliveryRoleArn"]))
        role = {"RoleArn": roles["SmokeRoleArn"], "RoleSessionName": "proof"}
        smoke = working(prod, keys_of(job.client("sts").assume_role(**role)["Credentials"]))
        own = prod.outputs("gateway")["ApiKeyId"]
        assert smoke.client("apigateway").get_api_key(apiKey=own, includeValue=True)["value"]
        with pytest.raises(ClientError, match=r"\(AccessDenied"):
            smoke.client("apigateway").get_api_key(apiKey=another["id"], includeValue=True)
        keys.delete_api_key(apiKey=another["id"])

    @pytest.mark.parametrize(
        "differing",
        [
            {"subject": "owner/another:environment:prod"},
            {"subject": f"{REPOSITORY}:environment:prod-watch"},
            {"subject": f"{REPOSITORY}:ref:refs/heads/main"},
            {"audience": "another.example.org"},
            {"issuer": "tokens.example.org"},
        ],
    )
    def test_no_other_job_becomes_the_role_that_delivers(
        self, prod: Production, roles: Mapping[str, str], differing: dict[str, str]
    ) -> None:
        with pytest.raises(ClientError, match=r"\(AccessDenied\)"):
            take(prod, roles["DeliveryRoleArn"], **differing)


def test_the_firewall_stands_before_the_very_stage(prod: Production, asks_for_a_key: str) -> None:
    # Given the stage that has just answered
    assert SETTINGS.firewall
    api = prod.outputs("gateway")["ApiId"]
    stage = f"arn:aws:apigateway:{SETTINGS.region}::/restapis/{api}/stages/{names.STAGE_NAME}"
    # When AWS WAF is asked what stands before it
    acl = prod.client("wafv2").get_web_acl_for_resource(ResourceArn=stage)["WebACL"]
    # Then it is the environment's own list, with the limit of its file
    limits = [rule["Statement"].get("RateBasedStatement", {}).get("Limit") for rule in acl["Rules"]]
    assert limits[0] == SETTINGS.firewall.requests_per_five_minutes
    assert acl["ARN"] in {name.partition("|")[2] for name in prod.resources("AWS::WAFv2::WebACLAssociation")}


def test_dashboard_alarms_and_budget_are_there(prod: Production, asks_for_a_key: str) -> None:
    assert SETTINGS.sight
    told = prod.outputs("sight")["TopicArn"]
    cloudwatch = prod.client("cloudwatch")
    shown = cloudwatch.get_dashboard(DashboardName=prod.outputs("sight")["DashboardName"])
    assert {each["type"] for each in json.loads(shown["DashboardBody"])["widgets"]} >= {"alarm", "metric"}

    alarms = {
        each["AlarmName"]: each["AlarmActions"] for each in cloudwatch.describe_alarms()["MetricAlarms"]
    }
    assert alarms.keys() == prod.resources("AWS::CloudWatch::Alarm")
    assert {told} == {action for name, actions in alarms.items() if "-sight-" in name for action in actions}

    [budget] = prod.client("budgets").describe_budgets(AccountId=ACCOUNT)["Budgets"]
    assert float(budget["BudgetLimit"]["Amount"]) == SETTINGS.sight.monthly_budget_usd


def test_the_scheduled_canary_finds_the_golden_answers(prod: Production, asks_for_a_key: str) -> None:
    [rule] = prod.client("events").list_rules()["Rules"]
    assert rule["ScheduleExpression"] == "rate(15 minutes)"
    [target] = prod.client("events").list_targets_by_rule(Rule=rule["Name"])["Targets"]
    answer = prod.client("lambda").invoke(FunctionName=target["Arn"], Payload=b"{}")
    assert "FunctionError" not in answer, answer["Payload"].read()


def test_what_is_only_recorded_is_said_at_the_start(prod: Production, asks_for_a_key: str) -> None:
    [line] = [line for line in prod.log.read_text().splitlines() if "Declared but not emulated: " in line]
    named = set(re.findall(r"AWS::\w+::\w+", line))
    assert prod.kinds() & named == ONLY_RECORDED


def test_who_signs_in_at_the_page_is_let_in_and_nobody_else(
    prod: Production, lets_people_sign_in: str
) -> None:
    url = lets_people_sign_in
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        page = browser.new_page()

        # Given a person whom the page has sent to Cognito's own page, where they sign in
        page.goto(url)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_label("Username").fill(PERSON)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()

        # When they are back and choose an image, Then it is judged
        expect(page.get_by_text("Signed in until")).to_be_visible()
        page.set_input_files("#file", [file("scan.png", "image/png", IMAGE)])
        expect(page.locator("#label")).to_have_text(re.compile("YES|NO"), timeout=30_000)
        [kept] = json.loads(page.evaluate("JSON.stringify(Object.values(sessionStorage))"))
        browser.close()

    # And the token opens the gateway to a program, which nothing else does, the key of before included
    token = json.loads(kept)["access"]
    assert_released(prod, ask(url, Authorization=f"Bearer {token}"))
    assert_kept_out(ask(url), 401)
    assert_kept_out(ask(url, Authorization=f"Bearer {token[:-8]}AAAAAAAA"), 401)


def test_a_yes_alone_destroys_nothing_of_prod(prod: Production, lets_people_sign_in: str) -> None:
    before = prod.stacks()
    done = prod.run("scripts/destroy", "--env", "prod", "--yes", check=False)
    assert done.returncode == 1
    assert "--lift-protection" in done.stderr
    assert prod.stacks() == before == {"CDKToolkit", *(names.stack_prefix("prod") + each for each in STACKS)}
    assert requests.get(f"{lets_people_sign_in}/health", timeout=60).json()["status"] == "ok"


def test_prod_goes_when_told_so_and_keeps_its_data(prod: Production, lets_people_sign_in: str) -> None:
    bucket, pool = prod.outputs("registry")["BucketName"], prod.outputs("gateway")["UserPoolId"]
    # When a person types the environment's name
    done = prod.run("scripts/destroy", "--env", "prod", "--lift-protection", typed="prod\n")
    # Then nothing runs any more
    assert prod.stacks() == {"CDKToolkit"}
    assert prod.client("sagemaker").list_endpoints()["Endpoints"] == []
    assert prod.client("lambda").list_functions()["Functions"] == []
    # And artifact, images and people are there still, and named
    sha256 = json.loads((prod.root / "infra/releases/prod.json").read_text())["model"]["sha256"]
    assert prod.client("s3").head_object(Bucket=bucket, Key=artifact_key(sha256))["ContentLength"]
    repositories = prod.client("ecr").describe_repositories()["repositories"]
    assert names.repository("prod") in {each["repositoryName"] for each in repositories}
    people = prod.client("cognito-idp").list_users(UserPoolId=pool)["Users"]
    assert len(people) == 1
    kept = done.stderr.partition("prod is down. Kept")[2]
    for name in (bucket, pool, names.repository("prod")):
        assert name in kept
