"""Every name that something outside its own stack must know: pure functions of environment, account, region.

Whatever is not here is named by CloudFormation, so that it can be replaced.
"""

from __future__ import annotations

from typing import Literal

PROJECT = "tumor-detector"
# Constant over all releases: an update with guardrails needs the same variant name before and after it.
VARIANT_NAME = "champion"
STAGE_NAME = "v1"

# Environment names become part of bucket names, of which S3 allows 63 characters:
# 24 of ours with all hyphens, 12 of an account and 14 of the longest region leave 13.
# To be matched as a whole.
ENVIRONMENT_NAME = r"[a-z][a-z0-9]{1,12}"

Mode = Literal["real-time", "serverless"]


def registry_stack(environment: str) -> str:
    """Name of the stack that holds the image repository and the model bucket."""
    return f"{PROJECT}-{environment}-registry"


def endpoint_stack(environment: str) -> str:
    """Name of the stack that holds the SageMaker model, endpoint configuration and endpoint."""
    return f"{PROJECT}-{environment}-endpoint"


def gateway_stack(environment: str) -> str:
    """Name of the stack that holds the API, its Lambda and the page."""
    return f"{PROJECT}-{environment}-gateway"


def delivery_stack(environment: str) -> str:
    """Name of the stack that lets the project's GitHub workflows deliver."""
    return f"{PROJECT}-{environment}-delivery"


def watch(environment: str) -> str:
    """Name of the GitHub environment that looks for drift: one on which nobody has to be waited for."""
    return f"{environment}-watch"


def stack_prefix(environment: str) -> str:
    """What the names of an environment's stacks, and of no other's, begin with."""
    return f"{PROJECT}-{environment}-"


def repository(environment: str) -> str:
    """Name of the ECR repository of the serving image."""
    return f"{PROJECT}-{environment}"


def image_publishing_role(environment: str) -> str:
    """Name of the role that `cdk deploy` assumes to push the serving image."""
    return f"{PROJECT}-{environment}-image-publishing"


def sign_in_domain(environment: str, *, account: str) -> str:
    """First part of the host at which people sign in; the account makes it unique over all of a region."""
    return f"{PROJECT}-{environment}-{account}"


def bucket(environment: str, *, account: str, region: str) -> str:
    """Name of the model bucket; account and region make it unique over all of S3."""
    return f"{PROJECT}-{environment}-models-{account}-{region}"


def endpoint(environment: str, *, mode: Mode) -> str:
    """Name of the endpoint.

    SageMaker refuses to turn a real-time endpoint into a serverless one, so each mode has its own name:
    changing the mode is then a replacement, which always works.
    """
    return f"{PROJECT}-{environment}-{mode}"


def sight_stack(environment: str) -> str:
    """Name of the stack that holds the dashboard, the alarms, the budget and the scheduled canary."""
    return f"{PROJECT}-{environment}-sight"


def deployment(environment: str) -> str:
    """Value of the tag by which the bill tells the environments of this project apart."""
    return f"{PROJECT}-{environment}"


def api(environment: str) -> str:
    """Name of the REST API, by which its metrics are found."""
    return f"{PROJECT}-{environment}"


def function(environment: str) -> str:
    """Name of the gateway's Lambda, by which its metrics are found and the canary calls it."""
    return f"{PROJECT}-{environment}-gateway"


def capture_bucket(environment: str, *, account: str, region: str) -> str:
    """Name of the bucket of captured answers, where an environment captures any."""
    return f"{PROJECT}-{environment}-sample-{account}-{region}"


def key_alias(environment: str) -> str:
    """Alias of the environment's own key."""
    return f"alias/{PROJECT}-{environment}"


def key_parameter(environment: str) -> str:
    """Parameter in which the registry stack leaves its key's ARN for the other stacks."""
    return f"/{PROJECT}/{environment}/key-arn"
