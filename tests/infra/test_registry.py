"""The registry: nothing overwrites what was promoted, and nothing that a release names expires."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from infra import config
from tests.infra.synthesis import as_list

if TYPE_CHECKING:
    from tests.infra.synthesis import Assembly


def test_tagged_images_are_neither_overwritten_nor_expired(assembly: Assembly) -> None:
    repository = assembly.template("registry").properties("ECR::Repository")
    assert repository["RepositoryName"] == f"tumor-detector-{assembly.environment}"
    assert repository["ImageTagMutability"] == "IMMUTABLE"
    assert repository["ImageScanningConfiguration"] == {"ScanOnPush": True}
    rules = json.loads(repository["LifecyclePolicy"]["LifecyclePolicyText"])["rules"]
    assert {rule["selection"]["tagStatus"] for rule in rules} == {"untagged"}


def test_the_bucket_is_private_encrypted_and_versioned_and_expires_only_old_versions(
    assembly: Assembly,
) -> None:
    bucket = assembly.template("registry").properties("S3::Bucket", "Models")
    assert all(bucket["PublicAccessBlockConfiguration"].values())
    assert bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert bucket["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    for rule in bucket["LifecycleConfiguration"]["Rules"]:
        assert not {"ExpirationInDays", "ExpirationDate", "Transitions"} & rule.keys()


def test_the_bucket_refuses_everything_but_tls(assembly: Assembly) -> None:
    policy = assembly.template("registry").properties("S3::BucketPolicy", "Models")["PolicyDocument"]
    assert {
        "Action": "s3:*",
        "Effect": "Deny",
        "Principal": {"AWS": "*"},
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }.items() <= policy["Statement"][0].items()


@pytest.mark.parametrize(
    ("id_", "days"), [("Captured", 30), ("Labels", 180), ("Batch", 7), ("Training", 14), ("Async", 2)]
)
def test_what_is_of_people_is_private_and_expires_for_good(
    full: Assembly, queued: Assembly, prod: Assembly, id_: str, days: int
) -> None:
    found = queued if id_ == "Async" else full
    bucket = found.template("registry").properties("S3::Bucket", id_)
    (rule,) = bucket["LifecycleConfiguration"]["Rules"]
    assert rule["ExpirationInDays"] == days
    assert "VersioningConfiguration" not in bucket
    assert all(bucket["PublicAccessBlockConfiguration"].values())
    kept = prod.template("registry").all("S3::Bucket")
    assert all(each.startswith(("Models", "Captured")) for each in kept), "none of the others"


def test_the_publishing_role_may_push_to_the_one_repository(assembly: Assembly) -> None:
    template = assembly.template("registry")
    (repository_id,) = template.all("ECR::Repository")
    role = template.properties("IAM::Role")
    region = config.load(assembly.environment).region
    assert role["RoleName"] == f"tumor-detector-{assembly.environment}-image-publishing-{region}"
    actions = {
        action: statement["Resource"]
        for id_, statement in template.statements()
        if id_ in template.all("IAM::Policy")
        for action in as_list(statement["Action"])
    }
    assert actions.pop("ecr:GetAuthorizationToken") == "*"
    assert {"ecr:PutImage", "ecr:DescribeImages", "ecr:DescribeRepositories"} <= actions.keys()
    assert all(resource == {"Fn::GetAtt": [repository_id, "Arn"]} for resource in actions.values())
