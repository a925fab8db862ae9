"""The role that checks a deployment: it reads what `scripts/deploy` and `scripts/smoke` compare."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra import names
from infra.constructs.policies import allow, arn
from infra.release import ARTIFACTS

if TYPE_CHECKING:
    from aws_cdk import aws_kms as kms

    from infra.config import Settings


class SmokeRole(Construct):
    """May read one environment's stacks, endpoint and artifacts, and call its gateway as a caller does.

    Only the role `trusts` may assume it.
    """

    def __init__(
        self, scope: Construct, id_: str, *, settings: Settings, key: kms.IKey | None, trusts: iam.IRole
    ) -> None:
        super().__init__(scope, id_)
        self.role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ArnPrincipal(trusts.role_arn),
            description=f"reads what serves in {settings.environment}, to compare it with what was released",
        )
        self._allow_stacks(settings.environment)
        endpoint = arn(self, "sagemaker", "endpoint", settings.endpoint_name)
        allow(self.role, "sagemaker:DescribeEndpoint", on=endpoint)
        self._allow_artifacts(settings)
        if key:
            key.grant_decrypt(self.role)  # S3 requires it to return an artifact's hash
        self._allow_gateway(settings)

    def _allow_stacks(self, environment: str) -> None:
        reason = "A stack's ARN ends in an id that it gets when it is made."
        parts: tuple[names.Part, ...] = ("registry", "endpoint", "gateway")
        for part in parts:
            stack = arn(self, "cloudformation", "stack", f"{names.stack(environment, part)}/*")
            allow(self.role, "cloudformation:DescribeStacks", on=stack, wildcard=reason)

    def _allow_artifacts(self, settings: Settings) -> None:
        account = cdk.Stack.of(self).account
        bucket = names.bucket(settings.environment, account=account, region=settings.region)
        # Without the permission to list, S3 answers 403 for an artifact that does not exist.
        allow(self.role, "s3:ListBucket", on=arn(self, "s3", bucket, region="", account=""))
        allow(
            self.role,
            "s3:GetObject",
            on=arn(self, "s3", bucket, f"{ARTIFACTS}/*", region="", account=""),
            wildcard="The release record of the day decides which artifact is read.",
        )

    def _allow_gateway(self, settings: Settings) -> None:
        """Allow a call of the gateway by the environment's `auth`; its API's and key's ids are unknown."""
        if settings.auth == "iam":
            allow(
                self.role,
                "execute-api:Invoke",
                on=arn(self, "execute-api", "*", f"{names.STAGE_NAME}/POST/predict"),
                wildcard="The API's id is made with the API, in a later stack; the path is the guarded one.",
            )
        if settings.auth == "cognito":  # where only people can sign in
            function = arn(self, "lambda", "function", names.function(settings.environment), colon=True)
            allow(self.role, "lambda:InvokeFunction", on=function)
        if settings.auth == "api_key":
            # Stack tags reach the key; that they bind this action is UNVERIFIED on a real account:
            # docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-tagging-iam-policy.html
            tags = {"project": names.PROJECT, "environment": settings.environment}
            ours = {"StringEquals": {f"aws:ResourceTag/{tag}": value for tag, value in tags.items()}}
            keys = arn(self, "apigateway", "/apikeys", "*", account="")
            reason = "The key's id is made with the key, in a later stack; its tags are known."
            allow(self.role, "apigateway:GET", on=keys, wildcard=reason, conditions=ours)
