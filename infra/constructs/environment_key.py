"""The environment's own KMS key: who may use it, and how every log group comes to be under it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aws_cdk as cdk
import jsii
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_ssm as ssm
from constructs import Construct, IConstruct

from infra import names

if TYPE_CHECKING:
    from infra.config import Settings

# Whatever publishes to the alarms' topic: an encrypted topic takes nothing from who may not use its key.
_PUBLISHERS = ("cloudwatch.amazonaws.com", "budgets.amazonaws.com")


class EnvironmentKey(Construct):
    """A key that turns every year; it encrypts the artifacts, images, volumes, logs and alarms.

    Roles of ours are let in by their own policies. The services that act by themselves are let in here, each
    for this account's resources alone.

    Attributes
    ----------
    key
        The key. Its ARN is left in a parameter: a reference from stack to stack would be an export.
    """

    def __init__(self, scope: Construct, id_: str, *, environment: str, retain: bool) -> None:
        super().__init__(scope, id_)
        self.key = kms.Key(
            self,
            "Key",
            alias=names.key_alias(environment),
            description=f"{names.PROJECT} {environment}: artifacts, images, volumes, logs, alarms",
            enable_key_rotation=True,
            removal_policy=cdk.RemovalPolicy.RETAIN if retain else cdk.RemovalPolicy.DESTROY,
        )
        self._let_logs_in(environment)
        self._let_publishers_in()
        ssm.StringParameter(
            self,
            "Arn",
            parameter_name=names.key_parameter(environment),
            string_value=self.key.key_arn,
            description="For the environment's other stacks",
        )

    def _let_logs_in(self, environment: str) -> None:
        """Let CloudWatch Logs use the key for our groups, as it says which in what it asks for.

        docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html. Groups without a name of
        ours are named after their stack; one of API Gateway's is named after an API that is not known here.
        """
        stack = cdk.Stack.of(self)
        ours = f"{names.PROJECT}-{environment}-*"
        groups = [
            stack.format_arn(
                service="logs",
                resource="log-group",
                resource_name=name,
                arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
            )
            for name in (
                ours,
                f"/aws/sagemaker/Endpoints/{ours}",
                f"aws-waf-logs-{ours}",
                f"API-Gateway-Execution-Logs_*/{names.STAGE_NAME}",
            )
        ]
        self.key.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal(f"logs.{stack.region}.amazonaws.com")],
                actions=[
                    "kms:Encrypt",
                    "kms:Decrypt",
                    "kms:ReEncrypt*",
                    "kms:GenerateDataKey*",
                    "kms:Describe*",
                ],
                resources=["*"],  # in a key's policy: this key
                conditions={"ArnLike": {"kms:EncryptionContext:aws:logs:arn": groups}},
            )
        )

    def _let_publishers_in(self) -> None:
        """Let CloudWatch's alarms and the budgets publish to the encrypted topic.

        **Unverified on a real account:** that both name this account when they use the key. To prove it, set
        an alarm's state by hand (`aws cloudwatch set-alarm-state`) and see the mail come.
        """
        for service in _PUBLISHERS:
            self.key.add_to_resource_policy(
                iam.PolicyStatement(
                    principals=[iam.ServicePrincipal(service)],
                    actions=["kms:Decrypt", "kms:GenerateDataKey*"],
                    resources=["*"],
                    conditions={"StringEquals": {"aws:SourceAccount": cdk.Stack.of(self).account}},
                )
            )


def environment_key(scope: Construct, settings: Settings) -> kms.IKey | None:
    """Return the environment's key for another stack than the one that declares it; None where there is none.

    CloudFormation reads the parameter when it deploys; synth reads nothing.
    """
    if not settings.customer_key:
        return None
    name = names.key_parameter(settings.environment)
    arn = ssm.StringParameter.value_for_string_parameter(scope, name)
    return kms.Key.from_key_arn(scope, "EnvironmentKey", arn)


@jsii.implements(cdk.IAspect)
class LogsUnderKey:
    """Puts every log group of a stack under a key, those that the CDK makes by itself too."""

    def __init__(self, key: kms.IKey) -> None:
        self._key = key

    def visit(self, node: IConstruct) -> None:
        """Set the key where `node` is a log group."""
        if isinstance(node, logs.CfnLogGroup):
            node.kms_key_id = self._key.key_arn
