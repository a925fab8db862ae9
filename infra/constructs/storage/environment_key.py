"""The environment's own KMS key, who may use it, and how all log groups are encrypted with it."""

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
from infra.constructs.policies import arn

if TYPE_CHECKING:
    from infra.config import Settings

# The services that publish to the alarms' topic: publishing to an encrypted topic requires its key.
ALARM_PUBLISHERS = ("cloudwatch.amazonaws.com", "budgets.amazonaws.com")


class EnvironmentKey(Construct):
    """A key, rotated every year, for the artifacts, images, volumes, logs and alarms.

    Our roles get access by their own policies. Services that act on their own get it here, each only for this
    account's resources. The ARN is kept in a parameter: a reference between stacks would be an export.
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
        self._allow_logs(environment)
        self._allow_publishers()
        ssm.StringParameter(
            self,
            "Arn",
            parameter_name=names.key_parameter(environment),
            string_value=self.key.key_arn,
            description="For the environment's other stacks",
        )

    def _allow_logs(self, environment: str) -> None:
        """Let CloudWatch Logs use the key for our groups, which it names in the encryption context.

        docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html. Groups without a name of
        ours are named after their stack; one of API Gateway's is named after an API that is not known here.
        """
        ours = f"{names.PROJECT}-{environment}-*"
        groups = [
            arn(self, "logs", "log-group", name, colon=True)
            for name in (
                ours,
                f"/aws/sagemaker/Endpoints/{ours}",
                f"aws-waf-logs-{ours}",
                f"API-Gateway-Execution-Logs_*/{names.STAGE_NAME}",
            )
        ]
        service = f"logs.{cdk.Stack.of(self).region}.amazonaws.com"
        of_these_groups = {"ArnLike": {"kms:EncryptionContext:aws:logs:arn": groups}}
        actions = ("Encrypt", "Decrypt", "ReEncrypt*", "GenerateDataKey*", "Describe*")
        writer = iam.ServicePrincipal(service, conditions=of_these_groups)
        self.key.grant(writer, *(f"kms:{action}" for action in actions))

    def _allow_publishers(self) -> None:
        """Let CloudWatch's alarms and the budgets publish to the encrypted topic.

        **Unverified on a real account:** that both name this account when they use the key. To verify it, set
        an alarm's state by hand (`aws cloudwatch set-alarm-state`) and check that the mail arrives.
        """
        for service in ALARM_PUBLISHERS:
            of_this_account = {"StringEquals": {"aws:SourceAccount": cdk.Stack.of(self).account}}
            publisher = iam.ServicePrincipal(service, conditions=of_this_account)
            self.key.grant(publisher, "kms:Decrypt", "kms:GenerateDataKey*")


def environment_key(scope: Construct, settings: Settings) -> kms.IKey | None:
    """Return the environment's key, if it has one, in a stack other than the one that declares it.

    A dynamic reference: CloudFormation reads the parameter at deploy, as the bootstrap's execution role. A
    template parameter would be read as the deploy role, which may read the bootstrap's version alone.
    **Unverified on AWS.**
    """
    if not settings.customer_key:
        return None
    name = names.key_parameter(settings.environment)
    arn_ = cdk.CfnDynamicReference(cdk.CfnDynamicReferenceService.SSM, name).to_string()
    return kms.Key.from_key_arn(scope, "EnvironmentKey", arn_)


@jsii.implements(cdk.IAspect)
class LogsUnderKey:
    """Encrypts every log group of a stack with a key, also those that the CDK declares by itself."""

    def __init__(self, key: kms.IKey) -> None:
        self._key = key

    def visit(self, node: IConstruct) -> None:
        """Set the key where `node` is a log group."""
        if isinstance(node, logs.CfnLogGroup):
            node.kms_key_id = self._key.key_arn
