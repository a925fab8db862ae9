"""What is promoted stays: nothing overwrites it, nothing that a release names expires."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.infra.synthesis import text

if TYPE_CHECKING:
    from tests.infra.synthesis import Assembly


def test_an_image_tag_is_never_overwritten(assembly: Assembly) -> None:
    repository = assembly.template("registry").properties("ECR::Repository")
    assert repository["RepositoryName"] == f"tumor-detector-{assembly.environment}"
    assert repository["ImageTagMutability"] == "IMMUTABLE"
    assert repository["ImageScanningConfiguration"] == {"ScanOnPush": True}


def test_only_untagged_images_expire(assembly: Assembly) -> None:
    repository = assembly.template("registry").properties("ECR::Repository")
    rules = json.loads(repository["LifecyclePolicy"]["LifecyclePolicyText"])["rules"]
    assert {rule["selection"]["tagStatus"] for rule in rules} == {"untagged"}


def test_the_bucket_is_private_encrypted_and_versioned(assembly: Assembly) -> None:
    bucket = assembly.template("registry").properties("S3::Bucket")
    assert all(bucket["PublicAccessBlockConfiguration"].values())
    assert bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert bucket["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]


def test_the_bucket_refuses_everything_but_tls(assembly: Assembly) -> None:
    policy = assembly.template("registry").properties("S3::BucketPolicy")["PolicyDocument"]
    assert {
        "Action": "s3:*",
        "Effect": "Deny",
        "Principal": {"AWS": "*"},
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }.items() <= policy["Statement"][0].items()


def test_only_noncurrent_artifacts_expire(assembly: Assembly) -> None:
    bucket = assembly.template("registry").properties("S3::Bucket")
    for rule in bucket["LifecycleConfiguration"]["Rules"]:
        assert not {"ExpirationInDays", "ExpirationDate", "Transitions"} & rule.keys()


def test_the_bucket_name_holds_account_and_region(assembly: Assembly) -> None:
    name = text(assembly.template("registry").properties("S3::Bucket")["BucketName"])
    region = "us-east-1" if assembly.environment == "local" else "eu-west-1"
    assert name == f"tumor-detector-{assembly.environment}-models-<AWS::AccountId>-{region}"


@pytest.mark.parametrize("kind", ["ECR::Repository", "S3::Bucket"])
def test_prod_keeps_its_data_and_dev_does_not(dev: Assembly, prod: Assembly, kind: str) -> None:
    for assembly, policy in ((dev, "Delete"), (prod, "Retain")):
        resource = assembly.template("registry").only(kind)
        assert resource["DeletionPolicy"] == resource["UpdateReplacePolicy"] == policy


def test_a_repository_that_is_kept_is_not_emptied(dev: Assembly, prod: Assembly) -> None:
    assert dev.template("registry").properties("ECR::Repository")["EmptyOnDelete"] is True
    assert prod.template("registry").properties("ECR::Repository")["EmptyOnDelete"] is False


def test_the_publishing_role_may_push_to_the_one_repository(assembly: Assembly) -> None:
    template = assembly.template("registry")
    (repository_id,) = template.all("ECR::Repository")
    role = template.properties("IAM::Role")
    assert role["RoleName"] == f"tumor-detector-{assembly.environment}-image-publishing"
    actions = {
        action: statement["Resource"]
        for id_, statement in template.statements()
        if id_ in template.all("IAM::Policy")
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    }
    assert actions.pop("ecr:GetAuthorizationToken") == "*"
    assert {"ecr:PutImage", "ecr:DescribeImages", "ecr:DescribeRepositories"} <= actions.keys()
    assert all(resource == {"Fn::GetAtt": [repository_id, "Arn"]} for resource in actions.values())
