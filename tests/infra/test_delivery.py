"""The roles of GitHub's workflows: they only assume others, with no more permissions than delivery needs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from infra import config, names
from infra.config.environment import Feedback, GitHub
from infra.config.hosting import DataCapture, RealTime
from infra.stacks.delivery import DeliveryStack
from tests.infra.synthesis import Assembly, as_list, synthesize_stack, text
from tests.infra.test_checks import acknowledgements, lint, reported

if TYPE_CHECKING:
    from pathlib import Path

    from infra.config import Settings
    from tests.infra.synthesis import Json, Template

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
    synthesize_stack(lambda app: DeliveryStack(app, settings=settings, github=github), folder)
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
    statement: Json
    (statement,) = document["Statement"]
    return statement


def granted(template: Template, part: str) -> dict[tuple[str, str], Json]:
    """Return what a role may do: the conditions by action and resource."""
    wanted = role(template, part)
    policies = {
        id_
        for id_, each in template.all("IAM::Policy").items()
        if {"Ref": wanted} in each["Properties"]["Roles"]
    }
    return {
        (action, named(resource)): statement.get("Condition", {})
        for id_, statement in template.statements()
        if id_ in policies
        for action in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
    }


def named(resource: object) -> str:
    """Write a resource as `text` does, one that a parameter of SSM holds by that parameter's name."""
    return text(resource).removeprefix("{{resolve:ssm:").removesuffix("}}")


def bootstrap_role(kind: str) -> str:
    return f"arn:aws:iam::{ACCOUNT}:role/cdk-hnb659fds-{kind}-role-{ACCOUNT}-{REGION}"


def test_the_provider_pins_no_thumbprint(template: Template) -> None:
    assert template.properties("IAM::OIDCProvider") == {
        "ClientIdList": ["sts.amazonaws.com"],
        "Url": f"https://{ISSUER}",
    }


def test_each_role_trusts_one_repository_and_environment(assembly: Assembly) -> None:
    template, environment = assembly.template("delivery"), assembly.environment
    for part, github in (
        ("DeliveryRole", environment),
        ("WatchRole", f"{environment}-watch"),
        ("MonitorRole", f"{environment}-watch"),
        ("RetrainRole", f"{environment}-retrain"),
    ):
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


def test_delivery_assumes_the_cdks_roles_its_own_and_nothing_else(
    assembly: Assembly,
) -> None:
    template = assembly.template("delivery")
    publishing = f"tumor-detector-{assembly.environment}-image-publishing-{REGION}"
    pruning = f"tumor-detector-{assembly.environment}-pruning-{REGION}"
    assert granted(template, "DeliveryRole").keys() == {
        ("sts:AssumeRole", arn)
        for arn in (
            bootstrap_role("deploy"),
            bootstrap_role("file-publishing"),
            bootstrap_role("lookup"),
            f"arn:aws:iam::{ACCOUNT}:role/{publishing}",
            f"arn:aws:iam::{ACCOUNT}:role/{pruning}",
            f"<{role(template, 'Smoke')}.Arn>",
        )
    }


def test_only_delivery_assumes_the_smoke_role(template: Template) -> None:
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


def test_without_a_customer_key_no_role_may_decrypt(delivered: dict[str, Assembly]) -> None:
    assert "kms:Decrypt" not in delivered["dev"].template("delivery").path.read_text()


FED = RealTime(
    mode="real-time",
    instance_type="ml.c7i.large",
    instance_count=2,
    data_capture=DataCapture(percent=100, expire_days=30, what=("input", "output")),
)


@pytest.mark.parametrize("fed", [True, False])
def test_retraining_reads_what_was_labelled_where_it_is_kept_and_adds_artifacts(
    tmp_path: Path, *, fed: bool
) -> None:
    settings = VARIANTS["prod"]
    if fed:
        settings = replace(settings, hosting=FED, feedback=Feedback(expire_days=30))
    assembly = synthesize(settings, tmp_path, GitHub(repository=REPOSITORY))
    bucket = f"arn:aws:s3:::tumor-detector-prod-{{}}-{ACCOUNT}-{REGION}"
    stack = f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/tumor-detector-prod-registry/*"
    lists = {
        ("s3:ListBucket", bucket.format("sample")): f"{settings.endpoint_name}/*",
        ("s3:ListBucket", bucket.format("labels")): "labels/*",
    }
    reads = {("s3:GetObject", f"{name}/{prefix}") for (_, name), prefix in lists.items()}
    found = granted(assembly.template("delivery"), "RetrainRole")
    assert found.keys() == {
        ("cloudformation:DescribeStacks", stack),
        ("s3:ListBucket", bucket.format("models")),
        ("s3:GetObject", f"{bucket.format('models')}/models/*"),
        ("s3:PutObject", f"{bucket.format('models')}/models/*"),
        *(("kms:" + action, "/tumor-detector/prod/key-arn") for action in ("Decrypt", "GenerateDataKey")),
        *([*lists, *reads] if fed else ()),
    }
    conditions = {each: condition for each, condition in found.items() if condition}
    assert conditions == (
        {each: {"StringLike": {"s3:prefix": prefix}} for each, prefix in lists.items()} if fed else {}
    )


def test_the_tags_in_the_smoke_roles_condition_are_those_of_the_stacks(
    delivered: dict[str, Assembly],
) -> None:
    manifest = delivered["dev"].json("manifest.json")["artifacts"][names.stack("dev", "delivery")]
    tags = manifest["properties"]["tags"]
    assert {"project": "tumor-detector", "environment": "dev"}.items() <= tags.items()


def test_cdk_nag_and_cfn_lint_have_no_finding_without_a_reason(assembly: Assembly) -> None:
    assert reported(assembly, "violations") == []
    used = {row["acknowledgedId"] for row in reported(assembly, "suppressedViolations")}
    assert used == {id_ for _, id_, _ in acknowledgements(assembly)}
    lint(*assembly.templates())


def test_a_repository_with_ids_is_trusted_by_them_alone(tmp_path: Path) -> None:
    repository = "acme@12/tumor-detector@34"
    template = synthesize(VARIANTS["dev"], tmp_path, GitHub(repository=repository)).template("delivery")
    trusted = trust(template, "DeliveryRole")["Condition"]["StringEquals"]
    assert trusted[f"{ISSUER}:sub"] == f"repo:{repository}:environment:dev"


def test_a_second_stack_of_an_account_uses_the_existing_provider(tmp_path: Path) -> None:
    assembly = synthesize(VARIANTS["dev"], tmp_path, GitHub(repository=REPOSITORY, provider="existing"))
    template = assembly.template("delivery")
    assert template.all("IAM::OIDCProvider") == {}
    federated = text(trust(template, "DeliveryRole")["Principal"]["Federated"])
    assert federated == f"arn:aws:iam::{ACCOUNT}:oidc-provider/{ISSUER}"


def test_the_roles_of_a_bootstrap_with_another_qualifier_are_assumed(tmp_path: Path) -> None:
    settings = replace(VARIANTS["dev"], bootstrap_qualifier="acme1")
    assembly = synthesize(settings, tmp_path, GitHub(repository=REPOSITORY))
    assumed = {resource for _, resource in granted(assembly.template("delivery"), "DeliveryRole")}
    assert bootstrap_role("lookup").replace("hnb659fds", "acme1") in assumed
