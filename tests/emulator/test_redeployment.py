"""Prod's registry stack is destroyed and deployed again: what was kept is taken over, with its key."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from infra import config, names, release
from infra.local_aws import ACCOUNT
from scripts.commands.destroy import destroy
from scripts.console import DeliveryError
from scripts.delivery import stacks
from scripts.delivery.cdk import cdk
from tests.emulator.deployment import MANIFEST
from tests.infra.synthesis import synthesize

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.config import Settings
    from tests.emulator.cloud import Cloud
    from tests.infra.synthesis import Assembly

NAME = "kept"
REGISTRY = names.stack(NAME, "registry")
REGION = config.load("local").region
BUCKET = names.bucket(NAME, "models", account=ACCOUNT, region=REGION)
OBJECT: Any = {"Bucket": BUCKET, "Key": "models/a/model.tar.gz"}


class Kept:
    """The registry stack with prod's settings, destroyed and with an object and an image in it."""

    def __init__(self, cloud: Cloud, settings: Settings, assembly: Assembly) -> None:
        self.cloud, self.settings, self.folder = cloud, settings, assembly.folder
        self.deploy()
        self.before = self.identities()
        cloud.s3.put_object(**OBJECT, Body=b"an artifact")
        image = {"repositoryName": names.deployment(NAME), "imageTag": "one"}
        cloud.ecr.put_image(**image, imageManifest=json.dumps(MANIFEST))

    def deploy(self) -> None:
        cdk("deploy", REGISTRY, "--app", str(self.folder), "--require-approval", "never", local=True)

    def redeploy(self) -> None:
        """Deploy as `scripts/deploy` does."""
        stacks.recover_stacks(self.settings, assembly=str(self.folder))
        stacks.take_over(self.settings, assembly=self.folder)
        self.deploy()
        assert not stacks.needs_creation(self.settings, "registry")

    def identities(self) -> Mapping[str, str]:
        """What the key, its alias, its parameter and the repository say which key it is."""
        kms, ssm = self.cloud.client("kms"), self.cloud.client("ssm")
        alias = kms.describe_key(KeyId=names.key_alias(NAME))["KeyMetadata"]["Arn"]
        parameter = ssm.get_parameter(Name=names.key_parameter(NAME))["Parameter"]["Value"]
        (repository,) = self.cloud.ecr.describe_repositories(repositoryNames=[names.deployment(NAME)])[
            "repositories"
        ]
        return {
            "alias": alias,
            "parameter": parameter,
            "repository": repository["encryptionConfiguration"]["kmsKey"],
        }


@pytest.fixture(scope="module")
def kept(bootstrapped: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Kept:
    folder = tmp_path_factory.mktemp("kept")
    written = re.sub(
        r'region = ".*"', f'region = "{REGION}"', (config.ENVIRONMENTS / "prod.toml").read_text()
    )
    (folder / f"{NAME}.toml").write_text(f'local = true\naccount = "{ACCOUNT}"\n{written}')
    assembly = synthesize(NAME, folder / "out", release=Path(release.NO_RELEASE), environments=folder)
    return Kept(bootstrapped, config.load(NAME, folder=folder), assembly)


@pytest.fixture
def destroyed(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> Kept:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{NAME}\n"))
    destroy(kept.settings, lift_protection=True)
    return kept


def test_a_redeploy_takes_over_the_key_the_bucket_and_the_repository(destroyed: Kept) -> None:
    # Given that CloudFormation alone cannot deploy it again, as the names are taken
    with pytest.raises(DeliveryError, match="Validation failed"):
        destroyed.deploy()
    # When it is deployed as scripts/deploy does, Then all is under the former key, and nothing is lost
    destroyed.redeploy()
    assert destroyed.identities() == destroyed.before
    assert len(set(destroyed.before.values())) == 1
    assert destroyed.cloud.s3.get_object(**OBJECT)["Body"].read() == b"an artifact"
    found = destroyed.cloud.ecr.list_images(repositoryName=names.deployment(NAME))["imageIds"]
    assert [each["imageTag"] for each in found] == ["one"]


def test_a_key_that_will_be_deleted_is_named_with_what_to_do(destroyed: Kept) -> None:
    kms, key = destroyed.cloud.client("kms"), destroyed.before["parameter"]
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    with pytest.raises(DeliveryError, match=r"PendingDeletion.*cancel-key-deletion"):
        stacks.take_over(destroyed.settings, assembly=destroyed.folder)
    kms.cancel_key_deletion(KeyId=key)
    kms.enable_key(KeyId=key)
    destroyed.redeploy()
    assert destroyed.identities() == destroyed.before


def test_a_bucket_without_the_repository_is_taken_over_as_the_error_says(destroyed: Kept) -> None:
    # Given that the repository, which names the key, is gone
    name = names.deployment(NAME)
    destroyed.cloud.ecr.delete_repository(repositoryName=name, force=True)
    with pytest.raises(DeliveryError, match=rf"{BUCKET}, .* but no repository.*get-bucket-encryption"):
        stacks.take_over(destroyed.settings, assembly=destroyed.folder)
    # When it is created as the error says, Then all is under the former key
    encryption: Any = {"encryptionType": "KMS", "kmsKey": destroyed.before["repository"]}
    destroyed.cloud.ecr.create_repository(repositoryName=name, encryptionConfiguration=encryption)
    destroyed.cloud.ecr.put_image(repositoryName=name, imageTag="one", imageManifest=json.dumps(MANIFEST))
    destroyed.redeploy()
    assert destroyed.identities() == destroyed.before
