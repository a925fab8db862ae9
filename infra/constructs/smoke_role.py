"""The role that proves a deployment: it reads what `scripts/deploy` and `scripts/smoke` compare."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra import names
from infra.constructs.acknowledge import acknowledge_wildcard
from infra.release import ARTIFACTS

if TYPE_CHECKING:
    from aws_cdk import aws_kms as kms

    from infra.config import Settings


class SmokeRole(Construct):
    """May read one environment's stacks, endpoint and artifacts, and call its gateway as a caller does.

    Attributes
    ----------
    role
        The role; whoever `trusts` names may take it, and nobody else.
    """

    def __init__(
        self, scope: Construct, id_: str, *, settings: Settings, key: kms.IKey | None, trusts: iam.IRole
    ) -> None:
        super().__init__(scope, id_)
        self._settings = settings
        self.role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ArnPrincipal(trusts.role_arn),
            description=f"reads what serves in {settings.environment}, to compare it with what was released",
        )
        self._allow_stacks()
        self._allow_endpoint()
        self._allow_artifacts()
        if key:
            key.grant_decrypt(self.role)  # what the artifacts are encrypted with: S3 wants it for their hash
        self._allow_gateway()

    def _allow_stacks(self) -> None:
        environment = self._settings.environment
        for stack in (
            names.registry_stack(environment),
            names.endpoint_stack(environment),
            names.gateway_stack(environment),
        ):
            self._allow(
                self._arn("cloudformation", "stack", f"{stack}/*"),
                "cloudformation:DescribeStacks",
                reason="A stack's ARN ends in an id that it gets when it is made.",
            )

    def _allow_endpoint(self) -> None:
        name = names.endpoint(self._settings.environment, mode=self._settings.hosting.mode)
        self._allow(self._arn("sagemaker", "endpoint", name), "sagemaker:DescribeEndpoint")

    def _allow_artifacts(self) -> None:
        stack = cdk.Stack.of(self)
        bucket = names.bucket(self._settings.environment, account=stack.account, region=self._settings.region)
        arn = stack.format_arn(service="s3", region="", account="", resource=bucket)
        # Without the list S3 says of an absent artifact that it is forbidden.
        self._allow(arn, "s3:ListBucket")
        self._allow(
            f"{arn}/{ARTIFACTS}/*",
            "s3:GetObject",
            reason="Which artifact is looked at is what the release record says on that day.",
        )

    def _allow_gateway(self) -> None:
        """Allow what the environment's way in asks for; the API's and the key's ids are not known here."""
        if self._settings.auth == "iam":
            self._allow(
                self._arn("execute-api", "*", f"{names.STAGE_NAME}/POST/predict"),
                "execute-api:Invoke",
                reason="The API's id is made with the API, in a later stack; the path is the guarded one.",
            )
        if self._settings.auth == "cognito":  # at which only people can sign in
            function = names.function(self._settings.environment)
            arn = self._arn("lambda", "function", function, arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME)
            self._allow(arn, "lambda:InvokeFunction")
        if self._settings.auth == "api_key":
            # Stack tags reach the key; that they bind this action is UNVERIFIED on a real account:
            # docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-tagging-iam-policy.html
            self._allow(
                self._arn("apigateway", "/apikeys", "*", account=""),
                "apigateway:GET",
                reason="The key's id is made with the key, in a later stack; its tags are known.",
                tagged={"project": names.PROJECT, "environment": self._settings.environment},
            )

    def _arn(
        self,
        service: str,
        resource: str,
        name: str,
        *,
        account: str | None = None,
        arn_format: cdk.ArnFormat = cdk.ArnFormat.SLASH_RESOURCE_NAME,
    ) -> str:
        return cdk.Stack.of(self).format_arn(
            service=service, account=account, resource=resource, resource_name=name, arn_format=arn_format
        )

    def _allow(
        self, arn: str, *actions: str, reason: str | None = None, tagged: dict[str, str] | None = None
    ) -> None:
        conditions = {
            "StringEquals": {f"aws:ResourceTag/{key}": value for key, value in (tagged or {}).items()}
        }
        self.role.add_to_policy(
            iam.PolicyStatement(
                actions=list(actions), resources=[arn], conditions=conditions if tagged else None
            )
        )
        if reason:
            acknowledge_wildcard(self.role, arn, reason=reason)
