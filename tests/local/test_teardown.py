"""An environment goes away whole; one that is protected stays, and what it keeps outlives it."""

from __future__ import annotations

import io
import json
import re
import uuid
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest

from infra import config, names, release
from scripts.delivery.console import DeliveryError
from scripts.delivery.teardown import deployed_stacks, destroy
from tests.infra.synthesis import synthesize
from tests.local.cloud import AT_ONCE

if TYPE_CHECKING:
    from infra.config import Settings
    from tests.local.cloud import Cloud

ACCOUNT = "000000000000"
MANIFEST = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {"mediaType": "application/json", "size": 2, "digest": f"sha256:{'0' * 64}"},
        "layers": [],
    }
)


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
        self.bucket = names.bucket(name, account=ACCOUNT, region="eu-west-1")
        self.repository = names.repository(name)
        self.stack = names.registry_stack(name)
        boto3.client("ssm").put_parameter(
            Name="/cdk-bootstrap/hnb659fds/version", Value="30", Type="String", Overwrite=True
        )
        cloud.stacks.create_stack(
            StackName=self.stack,
            TemplateBody=re.sub(rf"tumor-detector(.){kind}\b", rf"tumor-detector\g<1>{name}", template),
            Capabilities=["CAPABILITY_NAMED_IAM"],
            EnableTerminationProtection=self.settings.termination_protection,
        )
        cloud.stacks.get_waiter("stack_create_complete").wait(StackName=self.stack, WaiterConfig=AT_ONCE)

    def fill(self) -> None:
        """Put two versions of an object, a deleted one and an unfinished upload into the bucket."""
        for body in (b"first", b"second"):
            self.cloud.s3.put_object(Bucket=self.bucket, Key="models/a/model.tar.gz", Body=io.BytesIO(body))
        self.cloud.s3.put_object(Bucket=self.bucket, Key="models/b/model.tar.gz", Body=b"gone")
        self.cloud.s3.delete_object(Bucket=self.bucket, Key="models/b/model.tar.gz")
        self.cloud.s3.create_multipart_upload(Bucket=self.bucket, Key="models/c/model.tar.gz")

    def stacks(self) -> list[str]:
        return [stack.name for stack in deployed_stacks(self.settings.environment)]

    def has_bucket(self) -> bool:
        return self.bucket in {each["Name"] for each in self.cloud.s3.list_buckets()["Buckets"]}

    def has_repository(self) -> bool:
        found = self.cloud.ecr.describe_repositories()["repositories"]
        return self.repository in {each["repositoryName"] for each in found}


@pytest.fixture
def pointed(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """This process's own clients are the laptop's, as `aws.reach` leaves them."""
    for name, value in cloud.aws.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    return cloud


@pytest.fixture
def dev(pointed: Cloud, templates: dict[str, str]) -> Environment:
    made = Environment(pointed, "dev", templates["dev"])
    made.fill()
    return made


@pytest.fixture
def prod(pointed: Cloud, templates: dict[str, str]) -> Environment:
    made = Environment(pointed, "prod", templates["prod"])
    made.fill()
    return made


def answer(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_all_of_it_goes_with_every_version_in_its_bucket(
    dev: Environment, capsys: pytest.CaptureFixture[str]
) -> None:
    destroy(dev.settings, yes=True)
    said = capsys.readouterr().err
    assert f"deleted: S3::Bucket {dev.bucket}, with all its objects and their versions" in said
    assert f"deleted: ECR::Repository {dev.repository}" in said
    assert "KEPT" not in said
    assert said.splitlines()[-1] == f"Nothing of {dev.settings.environment} is left."
    assert (dev.stacks(), dev.has_bucket(), dev.has_repository()) == ([], False, False)


def test_a_second_time_there_is_nothing_to_do(dev: Environment, capsys: pytest.CaptureFixture[str]) -> None:
    destroy(dev.settings, yes=True)
    capsys.readouterr()
    destroy(dev.settings, yes=True)
    assert capsys.readouterr().err == f"Nothing of {dev.settings.environment} is deployed.\n"


def test_a_bucket_that_somebody_removed_does_not_stop_it(dev: Environment) -> None:
    bucket = boto3.resource("s3").Bucket(dev.bucket)
    bucket.object_versions.delete()
    for upload in bucket.multipart_uploads.all():
        upload.abort()
    bucket.delete()
    destroy(dev.settings, yes=True)
    assert dev.stacks() == []


@pytest.mark.parametrize("typed", ["", "\n", "yes\n", "prod\n"])
def test_whoever_does_not_type_the_name_deletes_nothing(
    dev: Environment, monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    answer(monkeypatch, typed)
    with pytest.raises(DeliveryError, match="nothing was deleted"):
        destroy(dev.settings)
    assert (dev.stacks(), dev.has_bucket()) == ([dev.stack], True)


def test_whoever_types_the_name_deletes(dev: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, f"{dev.settings.environment}\n")
    destroy(dev.settings)
    assert dev.stacks() == []


def test_other_environments_stay(dev: Environment, prod: Environment) -> None:
    destroy(dev.settings, yes=True)
    assert prod.stacks() == [prod.stack]


def test_a_protected_environment_is_refused(prod: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, f"{prod.settings.environment}\n")
    with pytest.raises(DeliveryError, match="--lift-protection"):
        destroy(prod.settings)
    with pytest.raises(DeliveryError, match="a person confirms"):
        destroy(prod.settings, yes=True, lift_protection=True)
    assert (prod.stacks(), prod.has_bucket()) == ([prod.stack], True)


def test_what_is_deployed_protects_itself_though_the_file_no_longer_does(prod: Environment) -> None:
    loosened = replace(prod.settings, retain_data=False, termination_protection=False)
    with pytest.raises(DeliveryError, match="--lift-protection"):
        destroy(loosened, yes=True)
    assert prod.stacks() == [prod.stack]


def test_a_protected_environment_goes_when_told_so_and_its_data_stays(
    prod: Environment, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer(monkeypatch, f"{prod.settings.environment}\n")
    destroy(prod.settings, lift_protection=True)
    assert prod.stacks() == []
    assert (prod.has_bucket(), prod.has_repository()) == (True, True)
    versions = prod.cloud.s3.list_object_versions(Bucket=prod.bucket)
    assert {each["Key"] for each in versions["Versions"]} == {
        "models/a/model.tar.gz",
        "models/b/model.tar.gz",
    }
    assert f"S3::Bucket {prod.bucket}" in capsys.readouterr().err.partition("is down. Kept")[2]


def test_a_stack_that_cannot_be_deleted_is_named_with_the_reason_and_goes_next_time(
    pointed: Cloud, templates: dict[str, str]
) -> None:
    # Given a repository that was declared to be kept from emptying, with an image in it
    unemptied = templates["dev"].replace('"EmptyOnDelete": true', '"EmptyOnDelete": false')
    assert unemptied != templates["dev"]
    dev = Environment(pointed, "dev", unemptied)
    image = {"repositoryName": dev.repository, "imageManifest": MANIFEST, "imageTag": "one"}
    pointed.ecr.put_image(**image)
    # When the environment is destroyed, then the reason is said
    with pytest.raises(DeliveryError, match=f"(?s){dev.stack} was not deleted: .*not empty.*again"):
        destroy(dev.settings, yes=True)
    # And once it is mended, the same command goes on
    pointed.ecr.batch_delete_image(repositoryName=dev.repository, imageIds=[{"imageTag": "one"}])
    destroy(dev.settings, yes=True)
    assert dev.stacks() == []
