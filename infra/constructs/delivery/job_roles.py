"""What the jobs may do that watch an environment's answers, train again with them, and check a deployment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import aws_iam as iam
from constructs import Construct

from infra import names
from infra.config.training import RUNS
from infra.constructs.gateway.gateway_function import ID as FUNCTION
from infra.constructs.policies import allow, arn, bucket_name, in_bucket
from infra.constructs.training_pipeline import allow_mlflow
from infra.lambdas.gateway.labels import PREFIX as LABELS
from infra.release import ARTIFACTS

if TYPE_CHECKING:
    from aws_cdk import aws_kms as kms

    from infra.config import Settings

_STACK_ID = "A stack's ARN ends in an id that it gets when it is made."


def allow_monitoring(role: iam.Role, settings: Settings, *, key: kms.IKey | None) -> None:
    """Allow a role what `scripts/monitor` does: read answers, labels and references, and put its metrics.

    A captured file holds both sides of an exchange: where the input is captured, the role may read images.
    """
    _allow_objects(role, settings, "models", ARTIFACTS)
    if settings.feedback:
        _allow_objects(role, settings, "labels", LABELS, lists=True)
    if settings.captures_answers:
        _allow_objects(role, settings, "sample", settings.endpoint_name, lists=True)
    else:
        stack = names.stack(settings.environment, "gateway")
        reason = "CloudFormation generates the end of the name, when it makes it."
        _allow_stack(role, stack, reason=reason)
        groups = arn(role, "logs", "log-group", f"{stack}-{FUNCTION}Logs*", colon=True)
        allow(role, "logs:FilterLogEvents", on=groups, wildcard=reason)
    if key:
        key.grant_decrypt(role)  # S3 requires it to return an object
    # CloudWatch knows no resources; the second is bound to one namespace.
    allow(role, "cloudwatch:GetMetricData", on="*", wildcard="It takes no resource and returns figures only.")
    only = {"StringEquals": {"cloudwatch:namespace": names.MONITOR_NAMESPACE}}
    allow(role, "cloudwatch:PutMetricData", on="*", conditions=only)


def allow_retraining(role: iam.Role, settings: Settings, *, key: kms.IKey | None) -> None:
    """Allow a role what `scripts/retrain` does: read labels and captured images, and add model artifacts.

    It starts and follows the training pipeline, if there is one, and deploys nothing. What it trained is an
    artifact that no record names until a person merges its branch.
    """
    _allow_stack(role, names.stack(settings.environment, "registry"), reason=_STACK_ID)
    reason = "An artifact's key contains its hash."
    _allow_artifacts(role, settings, "s3:GetObject", "s3:PutObject", reason=reason)
    capture = settings.data_capture
    if settings.feedback and capture and {"input", "output"} <= {*capture.what}:
        _allow_objects(role, settings, "labels", LABELS, lists=True)
        _allow_objects(role, settings, "sample", settings.endpoint_name, lists=True)
    if training := settings.training:
        each = "Each training has a prefix and an execution of its own."
        uploads = in_bucket(role, bucket_name(role, settings, "train"), f"{RUNS}/*")
        allow(role, "s3:PutObject", on=uploads, wildcard=each)
        pipeline = arn(role, "sagemaker", "pipeline", names.training_pipeline(settings.environment))
        allow(role, "sagemaker:StartPipelineExecution", on=pipeline)
        follow = ("DescribePipelineExecution", "ListPipelineExecutionSteps", "StopPipelineExecution")
        executions = f"{pipeline}/execution/*"
        allow(role, *(f"sagemaker:{action}" for action in follow), on=executions, wildcard=each)
        allow_mlflow(role, training)
    if key:
        key.grant_decrypt(role)  # S3 requires both to return and to keep an object
        allow(role, "kms:GenerateDataKey", on=key.key_arn)


def add_smoke_role(
    scope: Construct, settings: Settings, *, key: kms.IKey | None, trusts: iam.IRole
) -> iam.Role:
    """Add the role that checks a deployment, which only the role `trusts` may assume.

    It may read one environment's stacks, endpoint and artifacts, which `scripts/deploy` and `scripts/smoke`
    compare, and call its gateway as a caller does.
    """
    environment = settings.environment
    role = iam.Role(
        Construct(scope, "Smoke"),
        "Role",
        assumed_by=iam.ArnPrincipal(trusts.role_arn),
        description=f"reads what serves in {environment}, to compare it with what was released",
    )
    parts: tuple[names.Part, ...] = ("registry", "endpoint", "gateway")
    for part in parts:
        _allow_stack(role, names.stack(environment, part), reason=_STACK_ID)
    allow(role, "sagemaker:DescribeEndpoint", on=arn(role, "sagemaker", "endpoint", settings.endpoint_name))
    reason = "The release record of the day decides which artifact is read."
    _allow_artifacts(role, settings, "s3:GetObject", reason=reason)
    if key:
        key.grant_decrypt(role)  # S3 requires it to return an artifact's hash
    _allow_gateway(role, settings)
    return role


def _allow_gateway(role: iam.Role, settings: Settings) -> None:
    """Allow a call of the gateway by the environment's `auth`; its API's and key's ids are unknown."""
    match settings.auth:
        case "iam":
            invoked = arn(role, "execute-api", "*", f"{names.STAGE_NAME}/POST{settings.predict_path}")
            reason = "The API's id is made with the API, in a later stack; the path is the guarded one."
            allow(role, "execute-api:Invoke", on=invoked, wildcard=reason)
        case "cognito":  # where only people can sign in
            function = arn(role, "lambda", "function", names.function(settings.environment), colon=True)
            allow(role, "lambda:InvokeFunction", on=function)
        case "api_key":
            # Stack tags reach the key; that they bind this action is UNVERIFIED on a real account:
            # docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-tagging-iam-policy.html
            tags = {"project": names.PROJECT, "environment": settings.environment}
            ours = {"StringEquals": {f"aws:ResourceTag/{tag}": value for tag, value in tags.items()}}
            keys = arn(role, "apigateway", "/apikeys", "*", account="")
            reason = "The key's id is made with the key, in a later stack; its tags are known."
            allow(role, "apigateway:GET", on=keys, wildcard=reason, conditions=ours)


def _allow_stack(role: iam.Role, stack: str, *, reason: str) -> None:
    on = arn(role, "cloudformation", "stack", f"{stack}/*")
    allow(role, "cloudformation:DescribeStacks", on=on, wildcard=reason)


def _allow_artifacts(role: iam.Role, settings: Settings, *actions: str, reason: str) -> None:
    # Without the permission to list, S3 answers 403 for an artifact that does not exist.
    bucket = bucket_name(role, settings, "models")
    allow(role, "s3:ListBucket", on=in_bucket(role, bucket))
    allow(role, *actions, on=in_bucket(role, bucket, f"{ARTIFACTS}/*"), wildcard=reason)


def _allow_objects(
    role: iam.Role, settings: Settings, holds: names.Holds, prefix: str, *, lists: bool = False
) -> None:
    """Allow a role to read the objects below a prefix of a bucket, and to list them."""
    bucket, below = bucket_name(role, settings, holds), f"{prefix}/*"
    if lists:
        only = {"StringLike": {"s3:prefix": below}}
        allow(role, "s3:ListBucket", on=in_bucket(role, bucket), conditions=only)
    reason = "Objects are named by hour, request or hash when they are written."
    allow(role, "s3:GetObject", on=in_bucket(role, bucket, below), wildcard=reason)
