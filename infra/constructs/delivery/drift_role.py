"""What a drift check may read: how an environment's resources are configured, not what they hold.

CloudFormation reads each resource with the caller's rights. The actions are those of the read handlers of our
types in CloudFormation's registry, without those that change or decrypt something, or return an API key
or a secret. **Unverified on AWS:** that they suffice, and that what may not be read is UNKNOWN.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra import names
from infra.constructs.delivery.github_access import ISSUER
from infra.constructs.policies import acknowledge_wildcard, allow, arn, in_bucket

if TYPE_CHECKING:
    from aws_cdk import aws_iam as iam

_REASON = (
    "The actions return no secret and nothing that a resource holds; they take no resource, or one whose id "
    "or name CloudFormation generates."
)
METADATA = """
    application-autoscaling:DescribeScalableTargets application-autoscaling:DescribeScalingPolicies
    application-autoscaling:DescribeScheduledActions application-autoscaling:ListTagsForResource
    billing:GetBillingViewData budgets:ListTagsForResource budgets:ViewBudget
    cloudformation:BatchDescribeTypeConfigurations cloudformation:DescribeStackDriftDetectionStatus
    cloudwatch:DescribeAlarms cloudwatch:GetDashboard cloudwatch:ListTagsForResource
    cognito-idp:DescribeResourceServer cognito-idp:DescribeUserPool cognito-idp:DescribeUserPoolDomain
    cognito-idp:GetUserPoolMfaConfig ecr:DescribeRepositories
    ecr:GetLifecyclePolicy ecr:GetRepositoryPolicy ecr:ListTagsForResource events:DescribeRule
    events:ListTagsForResource events:ListTargetsByRule kms:DescribeKey kms:GetKeyPolicy
    kms:GetKeyRotationStatus kms:ListAliases kms:ListResourceTags logs:DescribeIndexPolicies
    logs:DescribeLogGroups logs:DescribeMetricFilters logs:DescribeResourcePolicies
    logs:GetDataProtectionPolicy logs:ListTagsForResource sagemaker:DescribeEndpoint
    sagemaker:DescribeEndpointConfig sagemaker:DescribeModel sagemaker:DescribePipeline sagemaker:ListTags
    secretsmanager:DescribeSecret sns:GetDataProtectionPolicy sns:GetSubscriptionAttributes
    sns:GetTopicAttributes sns:ListSubscriptionsByTopic sns:ListTagsForResource
    wafv2:GetLoggingConfiguration wafv2:GetWebACL wafv2:GetWebACLForResource wafv2:ListTagsForResource
"""
STACK = """
    cloudformation:DescribeStackResourceDrifts cloudformation:DescribeStacks cloudformation:DetectStackDrift
    cloudformation:DetectStackResourceDrift
"""
ROLE = """
    iam:GetOpenIDConnectProvider iam:GetRole iam:GetRolePolicy iam:ListAttachedRolePolicies
    iam:ListRolePolicies
"""
FUNCTION = """
    lambda:GetFunction lambda:GetFunctionCodeSigningConfig lambda:GetFunctionEventInvokeConfig
    lambda:GetFunctionRecursionConfig lambda:GetFunctionScalingConfig lambda:GetPolicy
    lambda:GetRuntimeManagementConfig
"""
BUCKET = """
    s3:GetAccelerateConfiguration s3:GetAnalyticsConfiguration s3:GetBucketAbac s3:GetBucketCORS
    s3:GetBucketLogging s3:GetBucketMetadataTableConfiguration s3:GetBucketNotification
    s3:GetBucketObjectLockConfiguration s3:GetBucketOwnershipControls s3:GetBucketPolicy
    s3:GetBucketPublicAccessBlock s3:GetBucketTagging s3:GetBucketVersioning s3:GetBucketWebsite
    s3:GetEncryptionConfiguration s3:GetIntelligentTieringConfiguration s3:GetInventoryConfiguration
    s3:GetLifecycleConfiguration s3:GetMetricsConfiguration s3:GetReplicationConfiguration s3:ListBucket
    s3:ListTagsForResource
"""
PARAMETER = "ssm:GetParameters ssm:ListTagsForResource"


def allow_drift_detection(role: iam.Role, environment: str) -> None:
    """Allow a role to detect the drift of one environment's stacks."""
    ours, project = f"{names.stack_prefix(environment)}*", f"{names.PROJECT}-*"
    rights = [
        (STACK, [arn(role, "cloudformation", "stack", f"{ours}/*")]),
        (METADATA, ["*"]),
        # API keys and usage plans, whose keys it would return, are not below these.
        ("apigateway:GET", [arn(role, "apigateway", at, account="") for at in ("/account", "/restapis/*")]),
        (ROLE, [arn(role, "iam", *at, region="") for at in (("role", project), ("oidc-provider", ISSUER))]),
        (FUNCTION, [arn(role, "lambda", "function", project, colon=True)]),
        (BUCKET, [in_bucket(role, ours)]),
        (PARAMETER, [arn(role, "ssm", f"parameter/{names.PROJECT}/{environment}", "*")]),
    ]
    for actions, resources in rights:
        allow(role, *actions.split(), on=resources)
        for resource in resources:
            if "*" in resource:
                acknowledge_wildcard(role, resource, reason=_REASON)
