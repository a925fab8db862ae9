"""Destroying an environment deletes all of it; a protected one is refused, and its data outlive it."""

from __future__ import annotations

import io
import json
import re
import uuid
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

import boto3
import pytest

from infra import config, names, release
from scripts.commands.destroy import deployed_stacks, destroy
from scripts.console import DeliveryError
from tests.emulator.deployment import MANIFEST, mark_bootstrapped
from tests.infra.synthesis import synthesize

if TYPE_CHECKING:
    from infra.config import Settings
    from tests.emulator.cloud import Cloud

ACCOUNT = "000000000000"


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The registry stacks of a destroyable environment and of a protected one, as the CDK writes them."""
    none = Path(release.NO_RELEASE)
    return {
        name: synthesize(name, tmp_path_factory.mktemp(name), release=none)
        .template("registry")
        .path.read_text()
        for name in ("dev", "prod")
    }


class Environment:
    """A deployed environment: its registry stack, under a name that no other test uses."""

    def __init__(self, cloud: Cloud, kind: str, template: str) -> None:
        name = f"{kind[0]}{uuid.uuid4().hex[:8]}"
        self.settings: Settings = replace(config.load(kind), environment=name, region="us-east-1")
        self.cloud = cloud
        self.bucket = names.bucket(name, "models", account=ACCOUNT, region="eu-west-1")
        self.repository = names.deployment(name)
        self.stack = names.stack(name, "registry")
        mark_bootstrapped(cloud)
        cloud.create_stack(
            self.stack,
            json.loads(re.sub(rf"tumor-detector(.){kind}\b", rf"tumor-detector\g<1>{name}", template)),
            EnableTerminationProtection=self.settings.termination_protection,
        )

    def fill(self) -> Self:
        """Put two versions of an object, a deleted one and an unfinished upload into the bucket."""
        for body in (b"first", b"second"):
            self.cloud.s3.put_object(Bucket=self.bucket, Key="models/a/model.tar.gz", Body=io.BytesIO(body))
        self.cloud.s3.put_object(Bucket=self.bucket, Key="models/b/model.tar.gz", Body=b"gone")
        self.cloud.s3.delete_object(Bucket=self.bucket, Key="models/b/model.tar.gz")
        self.cloud.s3.create_multipart_upload(Bucket=self.bucket, Key="models/c/model.tar.gz")
        return self

    def stacks(self) -> list[str]:
        return [stack.name for stack in deployed_stacks(self.settings.environment)]

    def has_bucket(self) -> bool:
        return self.bucket in {each["Name"] for each in self.cloud.s3.list_buckets()["Buckets"]}

    def has_repository(self) -> bool:
        found = self.cloud.ecr.describe_repositories()["repositories"]
        return self.repository in {each["repositoryName"] for each in found}


@pytest.fixture
def connected(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """Local AWS, which this process's own clients reach, as after `aws.connect`."""
    cloud.connect(monkeypatch)
    return cloud


@pytest.fixture
def dev(connected: Cloud, templates: dict[str, str]) -> Environment:
    return Environment(connected, "dev", templates["dev"]).fill()


@pytest.fixture
def prod(connected: Cloud, templates: dict[str, str]) -> Environment:
    return Environment(connected, "prod", templates["prod"]).fill()


def test_the_typed_name_deletes_that_environment_whole_and_no_other(
    dev: Environment,
    prod: Environment,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{dev.settings.environment}\n"))
    destroy(dev.settings)
    shown = capsys.readouterr().err
    assert f"deleted: S3::Bucket {dev.bucket}, with all its objects and their versions" in shown
    assert f"deleted: ECR::Repository {dev.repository}" in shown
    assert "KEPT" not in shown
    assert shown.splitlines()[-1] == f"Nothing of {dev.settings.environment} is left."
    assert (dev.stacks(), dev.has_bucket(), dev.has_repository()) == ([], False, False)
    assert prod.stacks() == [prod.stack]

    destroy(dev.settings, yes=True)
    assert capsys.readouterr().err == f"Nothing of {dev.settings.environment} is deployed.\n"


def test_a_bucket_that_is_gone_already_stops_nothing(dev: Environment) -> None:
    bucket = boto3.resource("s3").Bucket(dev.bucket)
    bucket.object_versions.delete()
    for upload in bucket.multipart_uploads.all():
        upload.abort()
    bucket.delete()
    destroy(dev.settings, yes=True)
    assert dev.stacks() == []


@pytest.mark.parametrize("typed", ["", "\n", "yes\n", "prod\n"])
def test_without_the_typed_name_nothing_is_deleted(
    dev: Environment, monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    with pytest.raises(DeliveryError, match="nothing was deleted"):
        destroy(dev.settings)
    assert (dev.stacks(), dev.has_bucket()) == ([dev.stack], True)


def test_a_protected_environment_is_refused(prod: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{prod.settings.environment}\n"))
    with pytest.raises(DeliveryError, match="--lift-protection"):
        destroy(prod.settings)
    with pytest.raises(DeliveryError, match="a person has to confirm"):
        destroy(prod.settings, yes=True, lift_protection=True)
    # What is deployed counts, and not settings that no longer protect
    loosened = replace(prod.settings, retain_data=False, termination_protection=False)
    with pytest.raises(DeliveryError, match="--lift-protection"):
        destroy(loosened, yes=True)
    assert (prod.stacks(), prod.has_bucket()) == ([prod.stack], True)


def test_a_stack_that_cannot_be_deleted_is_named_with_its_reason(
    connected: Cloud, templates: dict[str, str]
) -> None:
    # Given a repository that CloudFormation does not empty, with an image in it
    unemptied = templates["dev"].replace('"EmptyOnDelete": true', '"EmptyOnDelete": false')
    assert unemptied != templates["dev"]
    dev = Environment(connected, "dev", unemptied)
    image = {"repositoryName": dev.repository, "imageManifest": json.dumps(MANIFEST), "imageTag": "one"}
    connected.ecr.put_image(**image)
    # When the environment is destroyed, Then the reason is shown
    with pytest.raises(DeliveryError, match=f"(?s){dev.stack} was not deleted: .*not empty.*again"):
        destroy(dev.settings, yes=True)
    # And once it is emptied, the same command finishes
    connected.ecr.batch_delete_image(repositoryName=dev.repository, imageIds=[{"imageTag": "one"}])
    destroy(dev.settings, yes=True)
    assert dev.stacks() == []
