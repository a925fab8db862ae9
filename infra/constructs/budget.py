"""What an environment may cost by the month, before somebody is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import aws_budgets as budgets
from constructs import Construct

from infra import names

if TYPE_CHECKING:
    from aws_cdk import aws_sns as sns

# (what is compared, per cent of the limit)
_THRESHOLDS = (("ACTUAL", 80), ("ACTUAL", 100), ("FORECASTED", 100))


class MonthlyBudget(Construct):
    """A budget over what carries the environment's tag `deployment`.

    A tag counts on the bill only once it was activated as a cost allocation tag in the account that pays
    (docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/activating-tags.html): a step by hand, after the
    first deploy; until then this budget sees nothing.
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
