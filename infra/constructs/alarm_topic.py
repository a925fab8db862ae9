"""Where alarms and budget go, and who is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aws_cdk import aws_kms as kms


class AlarmTopic(Construct):
    """A topic to which CloudWatch's alarms and the budgets of this account may publish, over TLS.

    Attributes
    ----------
    topic
        The topic. Each of `emails` gets a mail to confirm, and nothing until then.
    """

    def __init__(self, scope: Construct, id_: str, *, emails: Sequence[str], key: kms.IKey | None) -> None:
        super().__init__(scope, id_)
        self.topic = sns.Topic(self, "Topic", enforce_ssl=True, master_key=key)
        for service in ("cloudwatch.amazonaws.com", "budgets.amazonaws.com"):
            self.topic.add_to_resource_policy(
                iam.PolicyStatement(
                    principals=[iam.ServicePrincipal(service)],
                    actions=["sns:Publish"],
                    resources=[self.topic.topic_arn],
                    conditions={"StringEquals": {"aws:SourceAccount": cdk.Stack.of(self).account}},
                )
            )
        for email in emails:
            self.topic.add_subscription(subscriptions.EmailSubscription(email))
