"""Connections to an environment's AWS: the account that the shell's credentials name, or local AWS."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, Literal, TypeVar

import boto3
import botocore.session
from botocore.config import Config
from botocore.credentials import RefreshableCredentials, create_assume_role_refresher
from botocore.exceptions import BotoCoreError, ClientError

from infra.local_aws import ACCOUNT as LOCAL_ACCOUNT
from infra.local_aws import local_environment
from infra.names import PROJECT
from scripts.console import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import StackTypeDef, WaiterConfigTypeDef

    from infra.config import Settings

AWS_ERRORS = (BotoCoreError, ClientError)
Answer = TypeVar("Answer")
CALLS = Config(connect_timeout=3, read_timeout=10, retries={"total_max_attempts": 2})
"""For calls whose failure is only reported: none takes long."""

# In a workflow the caller's own role may do nothing but assume others. The CDK CLI assumes those of its
# bootstrap, and these commands the environment's smoke role (infra/constructs/delivery/job_roles.py), which
# this variable names.
SMOKE_ROLE = "TUMOR_SMOKE_ROLE"


def connect(settings: Settings) -> None:
    """Point this process, and all that it starts, at the environment's AWS, and check that it answers."""
    if settings.local:
        variables = local_environment(
            os.environ, region=settings.region, keep_credentials=SMOKE_ROLE in os.environ
        )
        os.environ.clear()
        os.environ.update(variables)
        hint = "Start local AWS with `scripts/demo`, or alone with `.venv/bin/python -m infra.emulator`."
    else:
        os.environ["AWS_REGION"] = os.environ["AWS_DEFAULT_REGION"] = settings.region
        hint = "Log in to the account (for example `aws sso login`) and try again."
    boto3.setup_default_session()  # one that was made before would keep what it read from the old variables
    try:
        account = boto3.client("sts").get_caller_identity()["Account"]
    except AWS_ERRORS as error:
        raise DeliveryError(
            f"No AWS answers for environment {settings.environment}: {error}\n{hint}"
        ) from error
    if account == LOCAL_ACCOUNT and settings.account is None and not settings.local:
        raise DeliveryError(
            f"Environment {settings.environment} is on AWS, but this shell's credentials are those of local "
            "AWS. Use another shell, or set the account in the environment's file."
        )
    if settings.account and account != settings.account:
        raise DeliveryError(
            f"These credentials are of account {account}, but environment {settings.environment} "
            f"belongs to {settings.account} (infra/environments/{settings.environment}.toml)."
        )


def session() -> boto3.Session:
    """Return a session of the smoke role where `TUMOR_SMOKE_ROLE` names one, else of the caller."""
    role = os.environ.get(SMOKE_ROLE)
    return assume(role) if role else boto3.Session()


def bootstrap_session(settings: Settings, purpose: Literal["lookup", "deploy"]) -> boto3.Session:
    """Return a session of the CDK bootstrap's role for reading or changing what is deployed.

    The caller's own role need not be allowed to do either: a workflow's is not.
    """
    account = boto3.client("sts").get_caller_identity()["Account"]
    role = f"cdk-{settings.bootstrap_qualifier}-{purpose}-role-{account}-{settings.region}"
    return assume(role)


def waiting(settings: Settings) -> WaiterConfigTypeDef:
    """Return how to wait for a stack; an endpoint's update ends within an hour."""
    return {"Delay": 1, "MaxAttempts": 300} if settings.local else {"Delay": 10, "MaxAttempts": 360}


def assume(role: str) -> boto3.Session:
    """Return a session of a role, which renews its credentials: they last an hour.

    `role` is one of the caller's account by its name, or any by its ARN.
    """
    sts = boto3.client("sts")
    if not role.startswith("arn:"):
        partition, account = sts.get_caller_identity()["Arn"].split(":")[1:5:3]
        role = f"arn:{partition}:iam::{account}:role/{role}"
    refresh = create_assume_role_refresher(sts, {"RoleArn": role, "RoleSessionName": PROJECT})
    credentials = RefreshableCredentials.create_from_metadata(refresh(), refresh, "assume-role")
    renewing = botocore.session.get_session()
    # In place of the chain of providers, with the one method of botocore's CredentialResolver.
    renewing.register_component("credential_provider", SimpleNamespace(load_credentials=lambda: credentials))
    return boto3.Session(botocore_session=renewing)


def find_stack(client: CloudFormationClient, name: str) -> StackTypeDef | None:
    """Return a deployed stack; None where there is none."""
    found = if_exists(client.describe_stacks, "ValidationError", StackName=name)
    return found["Stacks"][0] if found else None


def if_exists(describe: Callable[..., Answer], *absent: str, **request: object) -> Answer | None:
    """Return AWS's answer about a resource; None where an error code says that there is none."""
    try:
        return describe(**request)
    except ClientError as error:
        if error.response["Error"]["Code"] in absent:
            return None
        raise


def stack_outputs(name: str) -> dict[str, str]:
    """Return a deployed stack's outputs by name."""
    stack = find_stack(session().client("cloudformation"), name)
    if stack is None:
        raise DeliveryError(f"Stack {name} does not exist. Was it deployed?")
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
