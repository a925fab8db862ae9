"""ECR's answers that the CDK CLI and `docker push` build on."""

from __future__ import annotations

import base64
import uuid
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from tests.local.cloud import Cloud

ASSET_TAG = "0" * 63 + "a"


@pytest.fixture
def repository(cloud: Cloud) -> str:
    name = f"images-{uuid.uuid4().hex[:8]}"
    cloud.ecr.create_repository(repositoryName=name)
    return name


def test_repository_and_token_name_the_laptop(cloud: Cloud, repository: str) -> None:
    [described] = cloud.ecr.describe_repositories(repositoryNames=[repository])["repositories"]
    [token] = cloud.ecr.get_authorization_token()["authorizationData"]
    assert described["repositoryUri"] == f"localhost:{cloud.aws.port}/{repository}"
    assert token["proxyEndpoint"] == f"http://localhost:{cloud.aws.port}"
    assert base64.b64decode(token["authorizationToken"]).startswith(b"AWS:")


def test_image_that_is_not_there_is_not_found(cloud: Cloud, repository: str) -> None:
    with pytest.raises(cloud.ecr.exceptions.ImageNotFoundException):
        cloud.ecr.describe_images(repositoryName=repository, imageIds=[{"imageTag": "absent"}])


def test_repository_that_is_not_there_is_not_found(cloud: Cloud) -> None:
    with pytest.raises(ClientError, match="RepositoryNotFoundException"):
        cloud.ecr.describe_images(repositoryName="absent", imageIds=[{"imageTag": "absent"}])


def test_without_an_engine_the_cdk_finds_its_image_published(cloud: Cloud, repository: str) -> None:
    [described] = cloud.ecr.describe_images(repositoryName=repository, imageIds=[{"imageTag": ASSET_TAG}])[
        "imageDetails"
    ]
    [image] = cloud.ecr.batch_get_image(repositoryName=repository, imageIds=[{"imageTag": ASSET_TAG}])[
        "images"
    ]
    assert described["imageTags"] == [ASSET_TAG]
    assert "stand-in" in image["imageManifest"]
