"""How a command reaches an environment's AWS: the account that the shell names, or the laptop's."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from infra.local import ACCOUNT as LAPTOP
from infra.local import client_environment
from infra.names import PROJECT
from scripts.delivery.console import DeliveryError

if TYPE_CHECKING:
    from infra.config import Settings

AWS_ERRORS = (BotoCoreError, ClientError)

_QUALIFIER = "hnb659fds"  # of a bootstrap's roles, where nobody chose another

# Where a workflow delivers, its own role can do nothing but become others; the CDK CLI becomes the CDK's, and
# these commands become the environment's smoke role (infra/constructs/smoke_role.py), which this names.
SMOKE_ROLE = "TUMOR_SMOKE_ROLE"
_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


def reach(settings: Settings) -> None:
    """Point this process, and all that it starts, at the environment's AWS, and see that it answers.

    Raises
    ------
    DeliveryError
        If nothing answers there, or the credentials are missing or refused.
    """
    os.environ["AWS_REGION"] = os.environ["AWS_DEFAULT_REGION"] = settings.region
    hint = "Log in to the account (for example `aws sso login`) and try again."
    if settings.local:
        # A profile would win over the laptop's keys.
        for profile in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE"):
            os.environ.pop(profile, None)
        os.environ.update(_laptop())
        hint = "Start the laptop's AWS with `scripts/demo`, or alone with `.venv/bin/python -m infra.local`."
    try:
        identity = boto3.client("sts").get_caller_identity()
    except AWS_ERRORS as error:
        raise DeliveryError(
            f"No AWS answers for environment {settings.environment}: {error}\n{hint}"
        ) from error
    if not settings.local and settings.account is None and identity["Account"] == LAPTOP:
        raise DeliveryError(
            f"Environment {settings.environment} belongs on AWS, but this shell's keys are the laptop's. "
            "Use another shell, or name the laptop's account in the environment's file."
        )
    if settings.account and identity["Account"] != settings.account:
        raise DeliveryError(
            f"These credentials are of account {identity['Account']}, but environment {settings.environment} "
            f"belongs to {settings.account} (infra/environments/{settings.environment}.toml)."
        )


def _laptop() -> dict[str, str]:
    """Return what points at the laptop's AWS, without keys where a workflow has those of a role there."""
    known = client_environment()
    if SMOKE_ROLE in os.environ:
        return {name: value for name, value in known.items() if name not in _KEYS}
    return known


@dataclass(frozen=True)
class Keys:
    """Temporary credentials of a role."""

    id: str
    secret: str
    token: str

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables by which another program has them."""
        return dict(zip(_KEYS, (self.id, self.secret, self.token), strict=True))

    @property
    def session(self) -> boto3.Session:
        """A session of whoever has them."""
        return boto3.Session(self.id, self.secret, self.token)


def session() -> boto3.Session:
    """Return the session in which these commands ask AWS: the caller's own, or that of the smoke role.

    The role is taken anew each time: its sessions end after an hour, before a slow deploy does.
    """
    if role := os.environ.get(SMOKE_ROLE):
        return assume(role).session
    return boto3.Session()


def reader(settings: Settings) -> Keys:
    """Take the role that `cdk bootstrap` made for reading, which may see all that a deploy made.

    A workflow's own role may see nothing, and a person's need not.
    """
    return _bootstrapped("lookup", settings)


def deployer(settings: Settings) -> Keys:
    """Take the role that `cdk bootstrap` made for deploying, as which the CDK CLI changes stacks."""
    return _bootstrapped("deploy", settings)


def _bootstrapped(purpose: str, settings: Settings) -> Keys:
    partition, account = boto3.client("sts").get_caller_identity()["Arn"].split(":")[1:5:3]
    role = f"cdk-{_QUALIFIER}-{purpose}-role-{account}-{settings.region}"
    return assume(f"arn:{partition}:iam::{account}:role/{role}")


def assume(role: str) -> Keys:
    """Take the role with this ARN, which the caller must be allowed to assume."""
    taken = boto3.client("sts").assume_role(RoleArn=role, RoleSessionName=PROJECT)["Credentials"]
    return Keys(id=taken["AccessKeyId"], secret=taken["SecretAccessKey"], token=taken["SessionToken"])


def stack_outputs(stack: str) -> dict[str, str]:
    """Return a deployed stack's outputs by name.

    Raises
    ------
    DeliveryError
        If the stack does not exist or has no outputs yet.
    """
    try:
        description = session().client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
    except ClientError as error:
        raise DeliveryError(f"Stack {stack} cannot be read: {error}. Was it deployed?") from error
    return {output["OutputKey"]: output["OutputValue"] for output in description.get("Outputs", [])}
