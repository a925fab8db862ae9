"""AWS WAF in front of the API's stage: it blocks known attacks and floods, and lets images pass.

UNVERIFIED on a real account: the names of the managed rules below are those of the rule groups' default
versions as docs.aws.amazon.com/waf/latest/developerguide/aws-managed-rule-groups-baseline.html lists them;
WAF refuses an override of a rule that its version of the group lacks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import aws_cdk as cdk
from aws_cdk import aws_wafv2 as wafv2
from constructs import Construct

from infra.constructs.logs import log_group
from infra.constructs.policies import arn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from infra.config.environment import RetentionDays

WINDOW_S = 300

# AWS's rule groups, each with its rules on bodies. The only bodies here are images and forms with images:
# they are larger than the rules allow and their bytes can look like anything, so these rules count and do not
# block. The Lambda and the container check the bodies.
MANAGED_GROUPS: Mapping[str, Sequence[str]] = {
    "AWSManagedRulesAmazonIpReputationList": (),
    "AWSManagedRulesCommonRuleSet": (
        "CrossSiteScripting_BODY",
        "EC2MetaDataSSRF_BODY",
        "GenericLFI_BODY",
        "GenericRFI_BODY",
        "SizeRestrictions_BODY",
    ),
    "AWSManagedRulesKnownBadInputsRuleSet": (
        "JavaDeserializationRCE_BODY",
        "Log4JRCE_BODY",
        "ReactJSRCE_BODY",
    ),
}
# Credentials: no log and no sample shows them.
SECRET_HEADERS = ("authorization", "x-api-key", "x-amz-security-token")

_COUNT = wafv2.CfnWebACL.RuleActionProperty(count={})


class Firewall(Construct):
    """A web ACL on one stage: a rate limit per address, then AWS's managed rules; all else passes."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        stage_arn: str,
        requests_per_five_minutes: int,
        log_retention_days: RetentionDays,
    ) -> None:
        super().__init__(scope, id_)
        acl = wafv2.CfnWebACL(
            self,
            "Acl",
            scope="REGIONAL",
            default_action=wafv2.CfnWebACL.DefaultActionProperty(allow={}),
            rules=[
                _rate_limit(requests_per_five_minutes),
                *(
                    _managed(name, counted=counted, priority=priority)
                    for priority, (name, counted) in enumerate(MANAGED_GROUPS.items(), start=1)
                ),
            ],
            visibility_config=_visibility("all"),
            data_protection_config=wafv2.CfnWebACL.DataProtectionConfigProperty(
                data_protections=[_protected(name) for name in SECRET_HEADERS]
            ),
        )
        wafv2.CfnWebACLAssociation(self, "Association", web_acl_arn=acl.attr_arn, resource_arn=stage_arn)
        self._log_blocked(acl, log_retention_days)

    def _log_blocked(self, acl: wafv2.CfnWebACL, retention_days: RetentionDays) -> None:
        """Log what was blocked, and why; what passes is in API Gateway's own log."""
        name = f"aws-waf-logs-{cdk.Stack.of(self).stack_name}"  # WAF takes no name that begins otherwise
        logs = log_group(self, "Logs", retention_days=retention_days, name=name)
        logging = wafv2.CfnLoggingConfiguration(
            self,
            "Logging",
            resource_arn=acl.attr_arn,
            # WAF wants it without the :* at the end of the group's own ARN.
            log_destination_configs=[arn(self, "logs", "log-group", name, colon=True)],
            redacted_fields=[
                wafv2.CfnLoggingConfiguration.FieldToMatchProperty(single_header={"Name": header})
                for header in SECRET_HEADERS
            ],
            logging_filter={
                "DefaultBehavior": "DROP",
                "Filters": [
                    {
                        "Behavior": "KEEP",
                        "Conditions": [{"ActionCondition": {"Action": "BLOCK"}}],
                        "Requirement": "MEETS_ANY",
                    }
                ],
            },
        )
        logging.node.add_dependency(logs)


def _rate_limit(requests: int) -> wafv2.CfnWebACL.RuleProperty:
    return wafv2.CfnWebACL.RuleProperty(
        name="rate-of-an-address",
        priority=0,
        action=wafv2.CfnWebACL.RuleActionProperty(block={}),
        statement=wafv2.CfnWebACL.StatementProperty(
            rate_based_statement=wafv2.CfnWebACL.RateBasedStatementProperty(
                aggregate_key_type="IP", limit=requests, evaluation_window_sec=WINDOW_S
            )
        ),
        visibility_config=_visibility("rate-of-an-address"),
    )


def _managed(name: str, *, counted: Sequence[str], priority: int) -> wafv2.CfnWebACL.RuleProperty:
    overrides = [
        wafv2.CfnWebACL.RuleActionOverrideProperty(name=rule, action_to_use=_COUNT) for rule in counted
    ]
    return wafv2.CfnWebACL.RuleProperty(
        name=name,
        priority=priority,
        override_action=wafv2.CfnWebACL.OverrideActionProperty(none={}),
        statement=wafv2.CfnWebACL.StatementProperty(
            managed_rule_group_statement=wafv2.CfnWebACL.ManagedRuleGroupStatementProperty(
                vendor_name="AWS", name=name, rule_action_overrides=overrides or None
            )
        ),
        visibility_config=_visibility(name),
    )


def _protected(header: str) -> wafv2.CfnWebACL.DataProtectProperty:
    return wafv2.CfnWebACL.DataProtectProperty(
        action="SUBSTITUTION",
        field=wafv2.CfnWebACL.FieldToProtectProperty(field_type="SINGLE_HEADER", field_keys=[header]),
    )


def _visibility(name: str) -> wafv2.CfnWebACL.VisibilityConfigProperty:
    return wafv2.CfnWebACL.VisibilityConfigProperty(
        cloud_watch_metrics_enabled=True, metric_name=name, sampled_requests_enabled=True
    )
