"""The names that something outside their own stack must know.

CloudFormation names everything else, so that it can be replaced.
"""

from __future__ import annotations

from typing import Literal, get_args

PROJECT = "tumor-detector"
# Constant over all releases: an update with guardrails must not change it.
VARIANT_NAME = "champion"
SHADOW_VARIANT_NAME = "shadow"
MONITOR_NAMESPACE = f"{PROJECT}/monitor"  # of the metrics of `scripts/monitor`
STAGE_NAME = "v1"
BATCH_RUNS = "runs"  # in the batch bucket: below it lies all that is of one call of `scripts/batch`
TRAINING_LOG_GROUP = "/aws/sagemaker/TrainingJobs"  # SageMaker's, as the next
TRANSFORM_LOG_GROUP = "/aws/sagemaker/TransformJobs"  # SageMaker's, one for all jobs of an account

# Environment names become part of bucket names, for which S3 allows 63 characters: 24 of ours with all
# hyphens, 12 of an account and 14 of the longest region leave 13.
ENVIRONMENT_NAME = r"[a-z][a-z0-9]{1,12}"

Mode = Literal["real-time", "serverless", "async"]
Part = Literal["registry", "endpoint", "gateway", "monitoring", "delivery"]
# What a bucket is for: model artifacts, a sample of what was sent and answered, what callers said, what
# `scripts/batch` uploads and gets, images that are answered later, and what the training pipeline gets.
Holds = Literal["models", "sample", "labels", "batch", "async", "train"]
# What a role is assumed for: by `cdk deploy` to push the serving image, by `scripts/deploy` to delete what no
# endpoint needs any more, and by `scripts/batch` to read, write and run transform jobs.
Purpose = Literal["image-publishing", "pruning", "batch"]


def deployment(environment: str) -> str:
    """Name of the image repository and of the REST API; value of the tag that splits the bill."""
    return f"{PROJECT}-{environment}"


def stack(environment: str, part: Part) -> str:
    """Name of one of an environment's stacks."""
    return f"{PROJECT}-{environment}-{part}"


def watch(environment: str) -> str:
    """Name of the GitHub environment of the drift check, which needs no approval."""
    return f"{environment}-watch"


def retraining(environment: str) -> str:
    """Name of the GitHub environment that retrains: its role reads images and writes artifacts."""
    return f"{environment}-retrain"


def stack_prefix(environment: str) -> str:
    """Prefix of the names of an environment's stacks, and of no other's."""
    return f"{PROJECT}-{environment}-"


def role(environment: str, purpose: Purpose, *, region: str) -> str:
    """Name of a role that a command assumes; IAM has no regions."""
    return f"{PROJECT}-{environment}-{purpose}-{region}"


def sign_in_domain(environment: str, *, account: str) -> str:
    """First part of the sign-in page's host; the account makes it unique in its region."""
    return f"{PROJECT}-{environment}-{account}"


def bucket(environment: str, holds: Holds, *, account: str, region: str) -> str:
    """Name of one of the environment's buckets; account and region make it unique in S3."""
    return f"{PROJECT}-{environment}-{holds}-{account}-{region}"


def endpoint(environment: str, *, mode: Mode) -> str:
    """Name of the endpoint.

    SageMaker cannot turn a real-time endpoint into a serverless one. With a name for each mode a change of
    the mode is a replacement, which always works.
    """
    return f"{PROJECT}-{environment}-{mode}"


def endpoints(environment: str) -> list[str]:
    """Names of the environment's endpoint in each mode.

    Its callers may call all: a change between serverless and real-time leaves none without permission.
    """
    return [endpoint(environment, mode=mode) for mode in get_args(Mode)]


def endpoint_log_group(endpoint: str) -> str:
    """Name of the log group that SageMaker chooses for an endpoint's containers."""
    return f"/aws/sagemaker/Endpoints/{endpoint}"


def dashboard(environment: str, *, region: str) -> str:
    """Name of the dashboard; an account's regions share one list of them."""
    return f"{PROJECT}-{environment}-{region}"


def function(environment: str) -> str:
    """Name of the gateway's Lambda, for its metrics and for the canary."""
    return f"{PROJECT}-{environment}-gateway"


def training_pipeline(environment: str) -> str:
    """Name of the pipeline that `scripts/retrain` starts."""
    return f"{PROJECT}-{environment}-training"


def key_alias(environment: str) -> str:
    """Alias of the environment's own key."""
    return f"alias/{PROJECT}-{environment}"


def key_parameter(environment: str) -> str:
    """Name of the parameter with the ARN of the environment's key."""
    return f"/{PROJECT}/{environment}/key-arn"
