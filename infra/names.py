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
ENVIRONMENT_NAME = r"^[a-z][a-z0-9]{1,12}$"

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


def repository(environment: str) -> str:
    """Name of the ECR repository of the serving image."""
    return f"{PROJECT}-{environment}"


def image_publishing_role(environment: str) -> str:
    """Name of the role that `cdk deploy` assumes to push the serving image."""
    return f"{PROJECT}-{environment}-image-publishing"


def bucket(environment: str, *, account: str, region: str) -> str:
    """Name of the model bucket; account and region make it unique over all of S3."""
    return f"{PROJECT}-{environment}-models-{account}-{region}"


def endpoint(environment: str, *, mode: Mode) -> str:
    """Name of the endpoint.

    SageMaker refuses to turn a real-time endpoint into a serverless one, so each mode has its own name:
    changing the mode is then a replacement, which always works.
    """
    return f"{PROJECT}-{environment}-{mode}"
