"""The policies allow what is needed and no more: each `*` in them is on a list, with its reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.infra.synthesis import FIXTURE_ENVIRONMENTS, as_list, synthesize_written, text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.infra.synthesis import Assembly, Json

_KEY = "in a key's own policy this is the key"
_NETWORK = "a network interface has no id before SageMaker makes it"
_DESCRIBES = "the action takes no resource"

# (stack, effect, action, resource): why it must be. Logical ids lose their hashes, environments their names.
WILDCARDS = {
    ("registry", "Allow", "ecr:GetAuthorizationToken", "*"): "the action takes no resource",
    ("registry", "Deny", "s3:*", "<ModelsBucket.Arn>/*"): "whatever is asked without TLS is refused",
    ("registry", "Deny", "s3:*", "<ModelsBucket.Arn>"): "whatever is asked without TLS is refused",
    ("registry", "Deny", "s3:*", "<CapturedBucket.Arn>/*"): "whatever is asked without TLS is refused",
    ("registry", "Deny", "s3:*", "<CapturedBucket.Arn>"): "whatever is asked without TLS is refused",
    ("registry", "Allow", "kms:*", "*"): f"{_KEY}, left to the account's own policies",
    ("registry", "Allow", "kms:Encrypt", "*"): _KEY,
    ("registry", "Allow", "kms:Decrypt", "*"): _KEY,
    ("registry", "Allow", "kms:ReEncrypt*", "*"): f"{_KEY}; ReEncrypt is two actions",
    ("registry", "Allow", "kms:GenerateDataKey*", "*"): f"{_KEY}; with and without the plain text",
    ("registry", "Allow", "kms:Describe*", "*"): f"{_KEY}; as CloudWatch Logs' page asks for it",
    ("endpoint", "Allow", "ecr:GetAuthorizationToken", "*"): "the action takes no resource",
    (
        "endpoint",
        "Allow",
        "s3:GetObject",
        "arn:aws:s3:::tumor-detector-ENV-models-ACCOUNT-REGION/models/*",
    ): "during an update the old release's artifact and the new one's are read",
    (
        "endpoint",
        "Allow",
        "s3:PutObject",
        "arn:aws:s3:::tumor-detector-ENV-sample-ACCOUNT-REGION/*",
    ): "SageMaker names each captured file by its time",
    **{
        ("endpoint", "Allow", f"ec2:{action}", "arn:aws:ec2:REGION:ACCOUNT:network-interface/*"): _NETWORK
        for action in ("CreateNetworkInterface", "CreateNetworkInterfacePermission", "DeleteNetworkInterface")
    },
    **{
        ("endpoint", "Allow", f"ec2:{action}", "*"): _DESCRIBES
        for action in (
            "DeleteNetworkInterfacePermission",
            "DescribeDhcpOptions",
            "DescribeNetworkInterfaces",
            "DescribeSecurityGroups",
            "DescribeSubnets",
            "DescribeVpcs",
        )
    },
    ("gateway", "Allow", "xray:PutTelemetryRecords", "*"): "the action takes no resource",
    ("gateway", "Allow", "xray:PutTraceSegments", "*"): "the action takes no resource",
    **{
        (
            "delivery",
            "Allow",
            "cloudformation:DescribeStacks",
            f"arn:aws:cloudformation:REGION:ACCOUNT:stack/tumor-detector-ENV-{stack}/*",
        ): "a stack's ARN ends in an id that it gets when it is made"
        for stack in ("registry", "endpoint", "gateway")
    },
    (
        "delivery",
        "Allow",
        "s3:GetObject",
        "arn:aws:s3:::tumor-detector-ENV-models-ACCOUNT-REGION/models/*",
    ): "the release record of the day says which artifact is looked at",
    (
        "delivery",
        "Allow",
        "execute-api:Invoke",
        "arn:aws:execute-api:REGION:ACCOUNT:*/v1/POST/predict",
    ): "the API gets its id in a later stack; stage, method and path are those that are guarded",
    (
        "delivery",
        "Allow",
        "apigateway:GET",
        "arn:aws:apigateway:REGION::/apikeys/*",
    ): "the key gets its id in a later stack; a condition on its tags binds it",
}


@pytest.fixture(scope="module")
def optional(full: Assembly, tmp_path_factory: pytest.TempPathFactory) -> list[Assembly]:
    """Every optional part of the settings, in each of the ways to be let in: it decides what smoke may."""
    written = (FIXTURE_ENVIRONMENTS / "full.toml").read_text()
    others = [
        synthesize_written(written.replace('auth = "iam"', f'auth = "{auth}"'), tmp_path_factory.mktemp(auth))
        for auth in ("api_key", "cognito")
    ]
    return [full, *others]


def grants(assembly: Assembly, stack: str) -> Iterator[tuple[str, str, str, str]]:
    """Yield (stack, effect, action, resource), one of each at a time."""
    template = assembly.template(stack)
    ids = {id_: id_[:-8] for id_ in template.content["Resources"]}  # without CloudFormation's hash
    for _, statement in template.statements():
        assert "NotAction" not in statement
        assert "NotResource" not in statement
        for action in as_list(statement["Action"]):
            for resource in as_list(statement["Resource"]):
                plain = text(resource).replace(f"-{assembly.environment}-", "-ENV-")
                for id_, readable in ids.items():
                    plain = plain.replace(f"<{id_}.", f"<{readable}.")
                for region in ("eu-west-1", "us-east-1"):
                    plain = plain.replace(region, "REGION")
                for account in ("<AWS::AccountId>", "123456789012"):
                    plain = plain.replace(account, "ACCOUNT")
                yield stack, statement["Effect"], action, plain


def all_grants(assembly: Assembly) -> set[tuple[str, str, str, str]]:
    stacks = [template.path.name.split(".")[0].rsplit("-", 1)[-1] for template in assembly.templates()]
    return {grant for stack in stacks for grant in grants(assembly, stack)}


def test_every_wildcard_is_on_the_list_and_none_is_spare(
    assemblies: Mapping[str, Assembly], optional: list[Assembly]
) -> None:
    found = {
        grant
        for assembly in (*assemblies.values(), *optional)
        for grant in all_grants(assembly)
        if "*" in grant[2] + grant[3]
    }
    assert found == WILDCARDS.keys()


def test_no_role_has_policies_that_this_list_does_not_see(
    assemblies: Mapping[str, Assembly], optional: list[Assembly]
) -> None:
    for assembly in (*assemblies.values(), *optional):
        for template in assembly.templates():
            assert not any("Policies" in role["Properties"] for role in template.all("IAM::Role").values())
            assert not template.all("IAM::ManagedPolicy")
            assert not template.all("S3::AccessPoint")


def test_no_role_may_act_on_another_ones_behalf(assembly: Assembly) -> None:
    actions = {action for _, _, action, _ in all_grants(assembly)}
    assert not {action for action in actions if action.startswith(("iam:", "sts:"))}


@pytest.mark.parametrize("environment", ["local", "dev", "prod"])
def test_the_lambda_may_ask_its_one_endpoint(assemblies: Mapping[str, Assembly], environment: str) -> None:
    assembly = assemblies[environment]
    name = assembly.template("endpoint").properties("SageMaker::Endpoint")["EndpointName"]
    allowed = {
        (action, resource)
        for _, _, action, resource in grants(assembly, "gateway")
        if action.startswith("sagemaker:")
    }
    arn = f"arn:aws:sagemaker:REGION:ACCOUNT:endpoint/{name}".replace(f"-{environment}-", "-ENV-")
    assert allowed == {("sagemaker:InvokeEndpoint", arn), ("sagemaker:DescribeEndpoint", arn)}


def test_sagemaker_may_fetch_log_and_watch_nothing_else(assembly: Assembly) -> None:
    actions = {action for _, _, action, _ in grants(assembly, "endpoint")}
    assert actions - {"cloudwatch:DescribeAlarms", "kms:Decrypt"} == {
        "ecr:BatchCheckLayerAvailability",
        "ecr:BatchGetImage",
        "ecr:GetAuthorizationToken",
        "ecr:GetDownloadUrlForLayer",
        "logs:CreateLogStream",
        "logs:DescribeLogStreams",
        "logs:PutLogEvents",
        "s3:GetObject",
    }


def test_logs_go_to_the_stacks_own_groups(assembly: Assembly) -> None:
    stacks = ("endpoint", "gateway", *(("sight",) if assembly.environment == "prod" else ()))
    for stack in stacks:
        groups = {f"<{id_[:-8]}.Arn>" for id_ in assembly.template(stack).all("Logs::LogGroup")}
        written = {
            resource for _, _, action, resource in grants(assembly, stack) if action.startswith("logs:")
        }
        assert written
        assert written <= groups


def test_each_role_is_taken_by_one_service_or_the_account(assembly: Assembly) -> None:
    roles: list[Json] = [
        role["Properties"] for template in assembly.templates() for role in template.all("IAM::Role").values()
    ]
    principals = {
        text(principal)
        for role in roles
        for statement in role["AssumeRolePolicyDocument"]["Statement"]
        for principal in statement["Principal"].values()
    }
    assert principals == {
        "apigateway.amazonaws.com",
        "arn:aws:iam::<AWS::AccountId>:root",
        "lambda.amazonaws.com",
        "sagemaker.amazonaws.com",
    }


def test_the_one_managed_policy_is_api_gateways_own(assembly: Assembly) -> None:
    attached = {
        text(arn)
        for template in assembly.templates()
        for role in template.all("IAM::Role").values()
        for arn in role["Properties"].get("ManagedPolicyArns", [])
    }
    assert attached == {
        "arn:<AWS::Partition>:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs"
    }
