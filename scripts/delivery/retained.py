"""Take over what a destroyed environment has left: its buckets, its repository and their key."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from infra import names
from scripts.console import DeliveryError, step
from scripts.delivery.aws import bootstrap_session, if_exists
from scripts.delivery.cdk import cdk

if TYPE_CHECKING:
    from pathlib import Path

    from infra.config import Settings


def take_over(settings: Settings, *, assembly: Path) -> None:
    """Import what exists already into a new registry stack, so that its deploy creates only the rest.

    The names are taken, and what was kept is encrypted with the key that the repository names. An import
    changes nothing: `scripts/drift` tells what differs from the template. Unverified on AWS.
    """
    stack = names.stack(settings.environment, "registry")
    resources = json.loads((assembly / f"{stack}.template.json").read_text(encoding="utf-8"))["Resources"]
    session = bootstrap_session(settings, "lookup")
    s3, ecr, kms = session.client("s3"), session.client("ecr"), session.client("kms")
    account = session.client("sts").get_caller_identity()["Account"]
    found: dict[str, dict[str, str]] = {}
    for id_, properties in _declared(resources, "AWS::S3::Bucket"):
        name = _text(properties["BucketName"], account)
        if if_exists(s3.head_bucket, "404", Bucket=name, ExpectedBucketOwner=account):
            found[id_] = {"BucketName": name}
    key = None
    for id_, properties in _declared(resources, "AWS::ECR::Repository"):
        name = properties["RepositoryName"]
        if answer := if_exists(
            ecr.describe_repositories, "RepositoryNotFoundException", repositoryNames=[name]
        ):
            found[id_] = {"RepositoryName": name}
            key = answer["repositories"][0]["encryptionConfiguration"].get("kmsKey")
    if not found:
        return
    left = ", ".join(value for identifier in found.values() for value in identifier.values())
    for id_, _ in _declared(resources, "AWS::KMS::Key"):
        if key is None:
            raise DeliveryError(
                f"{settings.environment} was destroyed and has left {left}, but no repository that names "
                f"their key. Delete what is left. Or create {names.deployment(settings.environment)} under "
                "the key that `aws s3api get-bucket-encryption --bucket BUCKET` shows, by `aws ecr "
                "create-repository --encryption-configuration encryptionType=KMS,kmsKey=KEY "
                "--repository-name NAME`. Then deploy again."
            )
        metadata = kms.describe_key(KeyId=key)["KeyMetadata"]
        if metadata["KeyState"] != "Enabled":
            raise DeliveryError(
                f"{settings.environment} was destroyed and has left {left}, but the key of its repository "
                f"({key}) is {metadata['KeyState']}. Enable it, after `aws kms cancel-key-deletion` where it "
                "is about to be deleted, or delete what is left."
            )
        found[id_] = {"KeyId": metadata["KeyId"]}
    arguments = ("--app", str(assembly), "--resource-mapping-inline", json.dumps(found))
    with step(f"importing what {settings.environment} has left: {left}"):
        cdk("import", stack, *arguments, local=settings.local)


def _declared(resources: dict[str, Any], kind: str) -> list[tuple[str, Any]]:
    return [(id_, each["Properties"]) for id_, each in resources.items() if each["Type"] == kind]


def _text(name: Any, account: str) -> str:
    """Return a template's name, in which the account may be a reference."""
    parts = name["Fn::Join"][1] if isinstance(name, dict) else [name]
    return "".join(account if isinstance(part, dict) else part for part in parts)
