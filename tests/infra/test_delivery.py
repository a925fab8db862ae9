"""What GitHub's workflows may do: nothing by themselves, and as others only what a delivery takes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import aws_cdk as cdk
import pytest
from aws_cdk import Validations
from cdk_nag import AwsSolutionsChecks

from infra import config, names
from infra.config import GitHub, Settings, SettingsError
from infra.stacks.delivery import DeliveryStack
from tests.infra.synthesis import Assembly, Json, Template, as_list, cli_context, text
from tests.infra.test_checks import declared, lint

if TYPE_CHECKING:
    from pathlib import Path

REPOSITORY = "acme/tumor-detector"
ISSUER = "token.actions.githubusercontent.com"
ACCOUNT = "<AWS::AccountId>"
VARIANTS = {
    "dev": replace(config.load("dev"), auth="api_key"),
    "prod": replace(config.load("prod"), auth="iam"),
    "people": replace(config.load("dev"), environment="people", auth="cognito"),
}
REGION = VARIANTS["dev"].region


def synthesize(settings: Settings, folder: Path, github: GitHub) -> Assembly:
    app = cdk.App(context=cli_context(), outdir=str(folder), analytics_reporting=False)
    Validations.of(app).add_plugins(AwsSolutionsChecks())
    DeliveryStack(app, names.delivery_stack(settings.environment), settings=settings, github=github)
    app.synth()
    return Assembly(settings.environment, folder)


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Assembly]:
    return {
        name: synthesize(settings, tmp_path_factory.mktemp(name), GitHub(repository=REPOSITORY))
        for name, settings in VARIANTS.items()
    }


@pytest.fixture(params=sorted(VARIANTS))
def assembly(request: pytest.FixtureRequest, delivered: dict[str, Assembly]) -> Assembly:
    return delivered[request.param]


@pytest.fixture
def template(assembly: Assembly) -> Template:
    return assembly.template("delivery")


def role(template: Template, part: str) -> str:
    """Return the logical id of the one role with this in its id."""
    (found,) = (id_ for id_ in template.all("IAM::Role") if part in id_)
    return found


def trust(template: Template, part: str) -> Json:
    document = template.all("IAM::Role")[role(template, part)]["Properties"]["AssumeRolePolicyDocument"]
    (statement,) = document["Statement"]
    statement_of: Json = statement
    return statement_of


def granted(template: Template, part: str) -> dict[tuple[str, str], Json]:
    """Return the conditions of all that a role may do, by action and resource."""
    wanted = role(template, part)
    policies = {
        id_
        for id_, each in template.all("IAM::Policy").items()
        if {"Ref": wanted} in each["Properties"]["Roles"]
    }
    return {
        (action, named(template, resource)): statement.get("Condition", {})
        for id_, statement in template.statements()
        if id_ in policies
        for action in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
    }


def named(template: Template, resource: object) -> str:
    """Write a resource as `text` does, one that a parameter holds by that parameter's name."""
    match resource:
        case {"Ref": str(id_)} if id_ in template.content["Parameters"]:
            return str(template.content["Parameters"][id_]["Default"])
    return text(resource)


def bootstrap_role(kind: str) -> str:
    return f"arn:aws:iam::{ACCOUNT}:role/cdk-hnb659fds-{kind}-role-{ACCOUNT}-{REGION}"


def test_the_provider_pins_no_thumbprint(template: Template) -> None:
    assert template.properties("IAM::OIDCProvider") == {
        "ClientIdList": ["sts.amazonaws.com"],
        "Url": f"https://{ISSUER}",
    }


def test_each_job_is_let_in_by_repository_and_environment_alone(assembly: Assembly) -> None:
    template, environment = assembly.template("delivery"), assembly.environment
    for part, github in (("DeliveryRole", environment), ("WatchRole", f"{environment}-watch")):
        (provider,) = template.all("IAM::OIDCProvider")
        assert trust(template, part) == {
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Effect": "Allow",
            "Principal": {"Federated": {"Ref": provider}},
            "Condition": {
                "StringEquals": {
                    f"{ISSUER}:aud": "sts.amazonaws.com",
                    f"{ISSUER}:sub": f"repo:{REPOSITORY}:environment:{github}",
                }
            },
        }


def test_delivery_becomes_the_cdks_roles_and_the_smoke_role_and_does_nothing_itself(
    assembly: Assembly,
) -> None:
    template = assembly.template("delivery")
    publishing = f"tumor-detector-{assembly.environment}-image-publishing"
    assert granted(template, "DeliveryRole").keys() == {
        ("sts:AssumeRole", arn)
        for arn in (
            bootstrap_role("deploy"),
            bootstrap_role("file-publishing"),
            bootstrap_role("lookup"),
            f"arn:aws:iam::{ACCOUNT}:role/{publishing}",
            f"<{role(template, 'Smoke')}.Arn>",
        )
    }


def test_the_watch_becomes_the_cdks_role_for_reading_and_nothing_else(template: Template) -> None:
    assert granted(template, "WatchRole").keys() == {("sts:AssumeRole", bootstrap_role("lookup"))}


def test_only_delivery_takes_the_smoke_role(template: Template) -> None:
    assert trust(template, "Smoke")["Principal"] == {
        "AWS": {"Fn::GetAtt": [role(template, "DeliveryRole"), "Arn"]}
    }


def test_the_smoke_role_reads_its_environment_and_calls_its_gateway(assembly: Assembly) -> None:
    environment, settings = assembly.environment, VARIANTS[assembly.environment]
    found = granted(assembly.template("delivery"), "Smoke")
    common = f"arn:aws:{{}}:{REGION}:{ACCOUNT}:"
    bucket = f"arn:aws:s3:::tumor-detector-{environment}-models-{ACCOUNT}-{REGION}"
    stacks = common.format("cloudformation") + f"stack/tumor-detector-{environment}"
    endpoint = f"endpoint/tumor-detector-{environment}-{settings.hosting.mode}"
    by_auth = {
        "iam": ("execute-api:Invoke", common.format("execute-api") + "*/v1/POST/predict"),
        "api_key": ("apigateway:GET", f"arn:aws:apigateway:{REGION}::/apikeys/*"),
        "cognito": (
            "lambda:InvokeFunction",
            common.format("lambda") + f"function:{names.function(environment)}",
        ),
    }
    assert found.keys() == {
        *(
            ("cloudformation:DescribeStacks", f"{stacks}-{stack}/*")
            for stack in ("registry", "endpoint", "gateway")
        ),
        ("sagemaker:DescribeEndpoint", common.format("sagemaker") + endpoint),
        ("s3:ListBucket", bucket),
        ("s3:GetObject", f"{bucket}/models/*"),
        by_auth[settings.auth],
        *([("kms:Decrypt", f"/tumor-detector/{environment}/key-arn")] if settings.customer_key else []),
    }
    conditions = [condition for condition in found.values() if condition]
    tags = {"aws:ResourceTag/project": "tumor-detector", "aws:ResourceTag/environment": environment}
    assert conditions == ([{"StringEquals": tags}] if settings.auth == "api_key" else [])


def test_where_only_people_sign_in_the_smoke_role_calls_the_lambda(tmp_path: Path) -> None:
    assembly = synthesize(
        replace(config.load("dev"), auth="cognito"), tmp_path, GitHub(repository=REPOSITORY)
    )
    calls = {grant for grant in granted(assembly.template("delivery"), "Smoke") if "Invoke" in grant[0]}
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{names.function('dev')}"
    assert calls == {("lambda:InvokeFunction", arn)}


def test_the_tags_that_the_smoke_role_asks_for_are_those_of_the_stacks(
    delivered: dict[str, Assembly],
) -> None:
    manifest = delivered["dev"].json("manifest.json")["artifacts"][names.delivery_stack("dev")]
    tags = manifest["properties"]["tags"]
    assert {"project": "tumor-detector", "environment": "dev"}.items() <= tags.items()


def test_no_finding_is_without_a_reason_and_no_reason_is_spare(assembly: Assembly) -> None:
    reports = assembly.json("validation-report.json")["pluginReports"]
    assert [violation for report in reports for violation in report["violations"]] == []
    used = {row["acknowledgedId"] for report in reports for row in report.get("suppressedViolations", [])}
    assert used == {id_ for _, id_, _ in declared(assembly)}


def test_cfn_lint_is_clean(template: Template) -> None:
    lint(template)


def test_two_synths_are_byte_identical(delivered: dict[str, Assembly], tmp_path: Path) -> None:
    again = synthesize(VARIANTS["dev"], tmp_path, GitHub(repository=REPOSITORY))
    assert again.deployed_bytes() == delivered["dev"].deployed_bytes()


def test_a_second_stack_of_an_account_takes_the_provider_that_is_there(tmp_path: Path) -> None:
    assembly = synthesize(VARIANTS["dev"], tmp_path, GitHub(repository=REPOSITORY, provider="existing"))
    template = assembly.template("delivery")
    assert template.all("IAM::OIDCProvider") == {}
    federated = text(trust(template, "DeliveryRole")["Principal"]["Federated"])
    assert federated == f"arn:aws:iam::{ACCOUNT}:oidc-provider/{ISSUER}"


def test_no_stack_exports_to_another(template: Template) -> None:
    assert all("Export" not in output for output in template.content["Outputs"].values())
    assert set(template.content["Outputs"]) == {"DeliveryRoleArn", "SmokeRoleArn", "WatchRoleArn"}


def write(folder: Path, section: str) -> Path:
    text_ = (config.ENVIRONMENTS / "dev.toml").read_text()
    (folder / "dev.toml").write_text(f"{text_}\n{section}\n")
    return folder


def test_the_environments_file_names_the_repository(tmp_path: Path) -> None:
    folder = write(tmp_path, f"[github]\nrepository = {json.dumps(REPOSITORY)}")
    assert config.load("dev", folder=folder).github == GitHub(repository=REPOSITORY, provider="own")


@pytest.mark.parametrize(
    "repository", ["tumor-detector", "acme/*", "acme/x:ref", "https://host/acme/x", "a/b/c"]
)
def test_what_is_no_repository_is_refused(tmp_path: Path, repository: str) -> None:
    folder = write(tmp_path, f"[github]\nrepository = {json.dumps(repository)}\nprovider = 'any'")
    with pytest.raises(SettingsError) as raised:
        config.load("dev", folder=folder)
    assert [line.split(" = ")[0] for line in raised.value.problems] == [
        "github.repository",
        "github.provider",
    ]
