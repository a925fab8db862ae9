"""Who is notified: the topic of the alarms, and the budget that publishes to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aws_cdk as cdk
from aws_cdk import aws_budgets as budgets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from infra import names
from infra.constructs.storage.environment_key import ALARM_PUBLISHERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aws_cdk import aws_kms as kms

# (what is compared with the limit, at what percentage of it)
_THRESHOLDS = (("ACTUAL", 80), ("ACTUAL", 100), ("FORECASTED", 100))


class AlarmTopic(Construct):
    """A topic to which CloudWatch's alarms and the budgets of this account may publish, over TLS.

    Each of `emails` gets a mail to confirm, and no alarm until then.
    """

    def __init__(self, scope: Construct, id_: str, *, emails: Sequence[str], key: kms.IKey | None) -> None:
        super().__init__(scope, id_)
        self.topic = sns.Topic(self, "Topic", enforce_ssl=True, master_key=key)
        for service in ALARM_PUBLISHERS:
            of_this_account = {"StringEquals": {"aws:SourceAccount": cdk.Stack.of(self).account}}
            self.topic.grant_publish(iam.ServicePrincipal(service, conditions=of_this_account))
        for email in emails:
            self.topic.add_subscription(subscriptions.EmailSubscription(email))


class MonthlyBudget(Construct):
    """A budget over what has the environment's tag `deployment`.

    A tag counts on the bill only once it was activated as a cost allocation tag in the account that pays
    (docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/activating-tags.html): a manual step after the
    first deploy. Until then this budget sees nothing.
    """

    def __init__(
        self, scope: Construct, id_: str, *, environment: str, limit_usd: int, topic: sns.ITopic
    ) -> None:
        super().__init__(scope, id_)
        budget = budgets.CfnBudget
        subscriber = budget.SubscriberProperty(subscription_type="SNS", address=topic.topic_arn)
        budget(
            self,
            "Budget",
            budget=budget.BudgetDataProperty(
                budget_type="COST",
                time_unit="MONTHLY",
                budget_limit=budget.SpendProperty(amount=limit_usd, unit="USD"),
                cost_filters={"TagKeyValue": [f"user:deployment${names.deployment(environment)}"]},
            ),
            notifications_with_subscribers=[
                budget.NotificationWithSubscribersProperty(
                    notification=budget.NotificationProperty(
                        notification_type=kind,
                        comparison_operator="GREATER_THAN",
                        threshold=percent,
                        threshold_type="PERCENTAGE",
                    ),
                    subscribers=[subscriber],
                )
                for kind, percent in _THRESHOLDS
            ],
        )
