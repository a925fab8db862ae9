"""The policies allow only what is needed: each `*` in them is listed with its reason."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, get_args

import pytest
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

from infra import config
from infra.constructs.delivery import drift_role
from infra.names import Mode
from tests.infra.synthesis import FULL, as_list, synthesize_written, text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.infra.synthesis import Assembly, Json

MODELS, SAMPLES, BATCH, TRAINING, LABELS, ASYNC = (
    f"arn:aws:s3:::tumor-detector-ENV-{holds}-ACCOUNT-REGION"
    for holds in ("models", "sample", "batch", "train", "labels", "async")
)
PIPELINE = "arn:aws:sagemaker:REGION:ACCOUNT:pipeline/tumor-detector-ENV-training"
MLFLOW = "arn:aws:sagemaker:REGION:ACCOUNT:mlflow-tracking-server/runs"
INTERFACES = "arn:aws:ec2:REGION:ACCOUNT:network-interface/*"
STACKS = "arn:aws:cloudformation:REGION:ACCOUNT:stack/tumor-detector-ENV"
APIS = "arn:aws:execute-api:REGION:ACCOUNT"
# Each statement with a wildcard: its stack, actions and resource, and why. Statements allow, but for those on
# `s3:*`. Logical ids are without their hashes, names without those of environment, region and account.
_UNSCOPED = "the actions take no resource"
_INTERFACE = "a network interface has no id before SageMaker makes it"
_LATER = "its id is made in a later stack"
_TAGGED = "each release has new names; the environment's tag binds it"
_GENERATED = "CloudFormation generates its name"
# In a read handler, but they change or decrypt something, or return a secret.
NOT_FOR_DRIFT = re.compile(
    r"cognito-idp:(ListUserPoolClientSecrets|DescribeUserPoolClient)|secretsmanager:GetSecretValue|"
    r"(?!.*:(Describe|Get[A-Z]|GET|List|View)).*"
)
WILDCARDS = (
    ("registry", "ecr:GetAuthorizationToken", "*", _UNSCOPED),
    *(
        ("registry", "s3:*", f"<{name}Bucket.Arn>{keys}", "every request without TLS is refused")
        for name in ("Models", "Captured", "Labels", "Batch", "Async", "Training")
        for keys in ("", "/*")
    ),
    *(
        ("registry", actions, resource, reason)
        for actions, resource, reason in (
            ("s3:GetObject", f"{TRAINING}/runs/*", "each training has a prefix of its own"),
            ("s3:PutObject", f"{TRAINING}/outputs/*", "likewise"),
            (
                "logs:CreateLogGroup logs:CreateLogStream logs:DescribeLogStreams logs:PutLogEvents",
                "arn:aws:logs:REGION:ACCOUNT:log-group:/aws/sagemaker/TrainingJobs:*",
                "SageMaker names the streams after the jobs",
            ),
            (
                "sagemaker:AddTags sagemaker:CreateTrainingJob sagemaker:DescribeTrainingJob",
                "arn:aws:sagemaker:REGION:ACCOUNT:training-job/pipelines-*",
                "SageMaker names a pipeline's jobs",
            ),
            (
                "sagemaker:StopTrainingJob",
                "arn:aws:sagemaker:REGION:ACCOUNT:training-job/pipelines-*",
                "likewise",
            ),
            ("sagemaker-mlflow:*", MLFLOW, "a training uses many of its actions, on one server"),
        )
    ),
    ("registry", "kms:*", "*", "the key's own policy leaves it to the account's policies"),
    (
        "registry",
        "kms:Encrypt kms:Decrypt kms:ReEncrypt* kms:GenerateDataKey*",
        "*",
        "likewise, for services",
    ),
    ("registry", "kms:Describe*", "*", "likewise, as CloudWatch Logs documents it"),
    ("endpoint", "ecr:GetAuthorizationToken", "*", _UNSCOPED),
    ("endpoint", "s3:GetObject", f"{MODELS}/models/*", "an update reads the old and the new artifact"),
    ("endpoint", "s3:PutObject", f"{SAMPLES}/*", "SageMaker names each captured file by its time"),
    *(
        (
            "endpoint",
            "logs:CreateLogStream logs:DescribeLogStreams logs:PutLogEvents",
            f"arn:aws:logs:REGION:ACCOUNT:log-group:/aws/sagemaker/Endpoints/tumor-detector-ENV-{mode}:*",
            "SageMaker names the streams",
        )
        for mode in get_args(Mode)
    ),
    *(
        ("endpoint", actions, resource, reason)
        for actions, resource, reason in (
            ("s3:GetObject", f"{BATCH}/*", "a manifest names the images that a job reads"),
            ("s3:GetObject", "arn:aws:s3:::acme-scans/*", "likewise"),
            ("s3:PutObject", f"{BATCH}/runs/*", "an answer's key has its image's"),
            ("s3:GetObject s3:PutObject", f"{BATCH}/*", "it keeps manifests, images and results there"),
            (
                "logs:CreateLogGroup logs:CreateLogStream logs:DescribeLogStreams logs:PutLogEvents",
                "arn:aws:logs:REGION:ACCOUNT:log-group:/aws/sagemaker/TransformJobs:*",
                "SageMaker names the streams after the jobs",
            ),
            (
                "sagemaker:AddTags sagemaker:CreateTransformJob sagemaker:DescribeTransformJob",
                "arn:aws:sagemaker:REGION:ACCOUNT:transform-job/tumor-detector-ENV-*",
                "each job has a name of its own",
            ),
            (
                "sagemaker:StopTransformJob",
                "arn:aws:sagemaker:REGION:ACCOUNT:transform-job/tumor-detector-ENV-*",
                "likewise",
            ),
        )
    ),
    ("endpoint", "ec2:CreateNetworkInterface ec2:CreateNetworkInterfacePermission", INTERFACES, _INTERFACE),
    ("endpoint", "ec2:DeleteNetworkInterface", INTERFACES, _INTERFACE),
    ("endpoint", "ec2:DeleteNetworkInterfacePermission ec2:DescribeDhcpOptions", "*", _UNSCOPED),
    ("endpoint", "ec2:DescribeNetworkInterfaces ec2:DescribeSecurityGroups", "*", _UNSCOPED),
    ("endpoint", "ec2:DescribeSubnets ec2:DescribeVpcs", "*", _UNSCOPED),
    ("endpoint", "sagemaker:DeleteModel", "arn:aws:sagemaker:REGION:ACCOUNT:model/*", _TAGGED),
    (
        "endpoint",
        "sagemaker:DeleteEndpointConfig",
        "arn:aws:sagemaker:REGION:ACCOUNT:endpoint-config/*",
        _TAGGED,
    ),
    ("gateway", "s3:PutObject", f"{LABELS}/labels/*", "a label's key has the id of its request"),
    *(
        ("gateway", f"s3:{action}Object", f"{ASYNC}/{prefix}/*", "an object's key has the id of its request")
        for action, prefixes in (("Put", "images requests"), ("Get", "requests answers failures"))
        for prefix in prefixes.split()
    ),
    ("endpoint", "s3:GetObject", f"{ASYNC}/images/*", "likewise"),
    ("endpoint", "s3:PutObject", f"{ASYNC}/answers/*", "SageMaker names each answer"),
    ("endpoint", "s3:PutObject", f"{ASYNC}/failures/*", "likewise"),
    ("gateway", "xray:PutTelemetryRecords xray:PutTraceSegments", "*", _UNSCOPED),
    *(
        ("delivery", "cloudformation:DescribeStacks", f"{STACKS}-{stack}/*", "its ARN ends in an id")
        for stack in ("registry", "endpoint", "gateway")
    ),
    ("delivery", "s3:GetObject", f"{MODELS}/models/*", "the release record decides which artifact is read"),
    ("delivery", "cloudwatch:GetMetricData", "*", _UNSCOPED),
    ("delivery", "cloudwatch:PutMetricData", "*", f"{_UNSCOPED}; a condition names the namespace"),
    ("delivery", "s3:GetObject", f"{SAMPLES}/tumor-detector-ENV-real-time/*", "a key has the hour and an id"),
    ("delivery", "s3:GetObject", f"{LABELS}/labels/*", "a label's key has the id of its request"),
    ("delivery", "s3:PutObject", f"{TRAINING}/runs/*", "each training has a prefix of its own"),
    *(
        ("delivery", f"sagemaker:{action}", f"{PIPELINE}/execution/*", "an execution's ARN ends in an id")
        for action in ("DescribePipelineExecution", "ListPipelineExecutionSteps", "StopPipelineExecution")
    ),
    ("delivery", "sagemaker-mlflow:*", MLFLOW, "a retraining uses many of its actions, on one server"),
    ("delivery", "s3:PutObject", f"{MODELS}/models/*", "an artifact's key contains its hash"),
    ("delivery", "execute-api:Invoke", f"{APIS}:*/v1/POST/predict", _LATER),
    ("delivery", "apigateway:GET", "arn:aws:apigateway:REGION::/apikeys/*", f"{_LATER}; tags bind it"),
    *(
        ("delivery", actions, resource, reason)
        for actions, resource, reason in (
            (drift_role.STACK, f"{STACKS}-*/*", "a stack's ARN ends in an id"),
            (drift_role.METADATA, "*", "they return metadata, and most take no resource"),
            ("apigateway:GET", "arn:aws:apigateway:REGION::/restapis/*", _LATER),
            (drift_role.ROLE, "arn:aws:iam::ACCOUNT:role/tumor-detector-*", _GENERATED),
            (drift_role.FUNCTION, "arn:aws:lambda:REGION:ACCOUNT:function:tumor-detector-*", _GENERATED),
            (drift_role.BUCKET, "arn:aws:s3:::tumor-detector-ENV-*", "none returns an object"),
            (drift_role.PARAMETER, "arn:aws:ssm:REGION:ACCOUNT:parameter/tumor-detector/ENV/*", "no secret"),
        )
    ),
)


@pytest.fixture(scope="module")
def optional(full: Assembly, queued: Assembly, tmp_path_factory: pytest.TempPathFactory) -> list[Assembly]:
    """Every optional part of the settings, with each `auth`, which decides the smoke role's permissions."""
    others = [
        synthesize_written(FULL.replace('auth = "iam"', f'auth = "{auth}"'), tmp_path_factory.mktemp(auth))
        for auth in ("api_key", "cognito")
    ]
    return [full, queued, *others]


def grants(assembly: Assembly, stack: str) -> Iterator[tuple[str, str, str, str]]:
    """Yield (stack, effect, action, resource), one of each at a time."""
    template = assembly.template(stack)
    ids = {id_: id_[:-8] for id_ in template.content["Resources"]}  # without CloudFormation's hash
    for _, statement in template.statements():
        assert "NotAction" not in statement
        assert "NotResource" not in statement
        for action in as_list(statement["Action"]):
            for resource in as_list(statement["Resource"]):
                plain = re.sub(rf"([-/]){assembly.environment}([-/])", r"\1ENV\2", text(resource))
                for id_, readable in ids.items():
                    plain = plain.replace(f"<{id_}.", f"<{readable}.")
                for region in ("eu-west-1", "us-east-1"):
                    plain = plain.replace(region, "REGION")
                for account in ("<AWS::AccountId>", "123456789012", "000000000000"):
                    plain = plain.replace(account, "ACCOUNT")
                yield stack, statement["Effect"], action, plain


def all_grants(assembly: Assembly) -> set[tuple[str, str, str, str]]:
    stacks = [template.path.name.split(".")[0].rsplit("-", 1)[-1] for template in assembly.templates()]
    return {grant for stack in stacks for grant in grants(assembly, stack)}


def test_the_wildcards_are_those_listed(assemblies: Mapping[str, Assembly], optional: list[Assembly]) -> None:
    found = {
        grant
        for assembly in (*assemblies.values(), *optional)
        for grant in all_grants(assembly)
        if "*" in grant[2] + grant[3]
    }
    assert found == {
        (stack, "Deny" if actions == "s3:*" else "Allow", action, resource)
        for stack, actions, resource, _ in WILDCARDS
        for action in actions.split()
    }


def test_the_drift_check_reads_what_cloudformation_reads_of_each_declared_type(
    assemblies: Mapping[str, Assembly], optional: list[Assembly]
) -> None:
    resources = [
        resource
        for assembly in (*assemblies.values(), *optional)
        for template in assembly.templates()
        for resource in template.content["Resources"].values()
    ]
    # docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-stack-drift.html
    needed = {*drift_role.STACK.split(), "cloudformation:BatchDescribeTypeConfigurations"}
    needed.add("cloudformation:DescribeStackDriftDetectionStatus")
    for kind in {resource["Type"] for resource in resources} - {"AWS::CDK::Metadata"}:
        schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("eu-west-1", kind).schema
        read = schema.get("handlers", {}).get("read", {}).get("permissions", ())
        if kind == "AWS::WAFv2::WebACLAssociation":
            read = [action for action in read if action.startswith("wafv2:")]
        needed |= {action for action in read if not NOT_FOR_DRIFT.fullmatch(action)}
    watch = [
        statement
        for id_, statement in optional[0].template("delivery").statements()
        if id_.startswith("GitHubWatchRole")
    ]
    found = {action for statement in watch for action in as_list(statement["Action"])}
    assert found == needed
    # And nothing of it is secret, or reads what is not the environment's own
    assert not found & {"s3:GetObject", "logs:GetLogEvents", "logs:FilterLogEvents", "kms:Decrypt"}
    unscoped = {action for each in watch if each["Resource"] == "*" for action in as_list(each["Action"])}
    assert not {action.partition(":")[0] for action in unscoped} & {
        "apigateway",
        "iam",
        "lambda",
        "s3",
        "ssm",
    }


def test_no_policy_escapes_these_tests(assemblies: Mapping[str, Assembly], optional: list[Assembly]) -> None:
    for assembly in (*assemblies.values(), *optional):
        for template in assembly.templates():
            assert not any("Policies" in role["Properties"] for role in template.all("IAM::Role").values())
            assert not template.all("IAM::ManagedPolicy")
            assert not template.all("S3::AccessPoint")


def test_no_role_may_assume_another(assembly: Assembly) -> None:
    actions = {action for _, _, action, _ in all_grants(assembly)}
    assert not {action for action in actions if action.startswith(("iam:", "sts:"))}


def test_the_lambda_may_call_its_endpoint_in_each_mode_alone(assembly: Assembly) -> None:
    # Before a change of the mode is complete, the function still names the former endpoint
    name = "arn:aws:sagemaker:REGION:ACCOUNT:endpoint/tumor-detector-ENV-"
    granted = {(action, resource) for _, _, action, resource in grants(assembly, "gateway")}
    calls = {(action, resource) for action, resource in granted if action.startswith("sagemaker:")}
    assert calls == {
        (action, name + mode)
        for action in ("sagemaker:InvokeEndpoint", "sagemaker:DescribeEndpoint")
        for mode in ("real-time", "serverless", "async")
    }


def test_logs_go_to_the_stacks_own_groups(assembly: Assembly) -> None:
    stacks = ("endpoint", "gateway", *(("monitoring",) if assembly.environment == "prod" else ()))
    for stack in stacks:
        groups = {f"<{id_[:-8]}.Arn>" for id_ in assembly.template(stack).all("Logs::LogGroup")}
        written = {
            resource for _, _, action, resource in grants(assembly, stack) if action.startswith("logs:")
        }
        if stack == "endpoint":  # whose group is the registry's
            mode = f"tumor-detector-ENV-{config.load(assembly.environment).hosting.mode}"
            prefix = "arn:aws:logs:REGION:ACCOUNT:log-group:/aws/sagemaker"
            groups = {f"{prefix}/Endpoints/{mode}:*"}
            if config.load(assembly.environment).batch:
                groups.add(f"{prefix}/TransformJobs:*")  # SageMaker's, of the account
        assert written
        assert written <= groups


def test_each_role_is_assumed_by_one_service_or_the_account(assembly: Assembly) -> None:
    roles: list[Json] = [
        role["Properties"] for template in assembly.templates() for role in template.all("IAM::Role").values()
    ]
    principals = {
        text(principal).replace("000000000000", "<AWS::AccountId>")
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
    roles = [role for template in assembly.templates() for role in template.all("IAM::Role").values()]
    attached = {text(arn) for role in roles for arn in role["Properties"].get("ManagedPolicyArns", [])}
    prefix = "arn:<AWS::Partition>:iam::aws:policy/service-role"
    assert attached == {f"{prefix}/AmazonAPIGatewayPushToCloudWatchLogs"}
