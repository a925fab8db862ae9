"""The policies allow what is needed and no more: each `*` in them is on a list, with its reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.infra.synthesis import as_list, text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.infra.synthesis import Assembly, Json

# (stack, effect, action, resource): why it must be. Logical ids lose their hashes, environments their names.
WILDCARDS = {
    ("registry", "Allow", "ecr:GetAuthorizationToken", "*"): "the action takes no resource",
    ("registry", "Deny", "s3:*", "<ModelsBucket.Arn>/*"): "whatever is asked without TLS is refused",
    ("registry", "Deny", "s3:*", "<ModelsBucket.Arn>"): "whatever is asked without TLS is refused",
    ("endpoint", "Allow", "ecr:GetAuthorizationToken", "*"): "the action takes no resource",
    (
        "endpoint",
        "Allow",
        "s3:GetObject",
        "arn:aws:s3:::tumor-detector-ENV-models-<AWS::AccountId>-REGION/models/*",
    ): "during an update the old release's artifact and the new one's are read",
    ("gateway", "Allow", "xray:PutTelemetryRecords", "*"): "the action takes no resource",
    ("gateway", "Allow", "xray:PutTraceSegments", "*"): "the action takes no resource",
}


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
                yield stack, statement["Effect"], action, plain


def all_grants(assembly: Assembly) -> set[tuple[str, str, str, str]]:
    return {grant for stack in ("registry", "endpoint", "gateway") for grant in grants(assembly, stack)}


def test_every_wildcard_is_on_the_list_and_none_is_spare(assembly: Assembly) -> None:
    found = {grant for grant in all_grants(assembly) if "*" in grant[2] + grant[3]}
    assert found == WILDCARDS.keys()


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
    arn = f"arn:aws:sagemaker:REGION:<AWS::AccountId>:endpoint/{name}".replace(f"-{environment}-", "-ENV-")
    assert allowed == {("sagemaker:InvokeEndpoint", arn), ("sagemaker:DescribeEndpoint", arn)}


def test_sagemaker_may_fetch_log_and_watch_nothing_else(assembly: Assembly) -> None:
    actions = {action for _, _, action, _ in grants(assembly, "endpoint")}
    assert actions - {"cloudwatch:DescribeAlarms"} == {
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
    for stack in ("endpoint", "gateway"):
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
