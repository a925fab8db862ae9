"""Local AWS for most tests, and one that is bootstrapped; endpoints run the fake server."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from unittest import mock

import boto3
import pytest

from infra import config
from infra.local_aws import ACCOUNT
from scripts.delivery.aws import connect
from scripts.delivery.cdk import CDK, cdk
from tests.emulator.cloud import Cloud

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with Cloud.started(tmp_path_factory.mktemp("local"), enforce_policies=False) as started:
        yield started


def misleading_shell(folder: Path) -> dict[str, str]:
    """Return every variable that points SDKs at other AWS endpoints."""
    nowhere = "http://127.0.0.1:9"
    config_file = folder / "config"
    config_file.write_text(
        f"[default]\nuse_fips_endpoint = true\nendpoint_url = {nowhere}\n"
        "[profile other]\nrole_arn = arn:aws:iam::123456789012:role/other\nsource_profile = other\n"
    )
    return {
        "AWS_PROFILE": "other",
        "AWS_CONFIG_FILE": str(config_file),
        "AWS_SHARED_CREDENTIALS_FILE": str(config_file),
        "AWS_SESSION_TOKEN": "of-a-real-account",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
        "AWS_ENDPOINT_URL_STS": nowhere,
        "AWS_ENDPOINT_URL_CLOUDFORMATION": nowhere,
        "AWS_ENDPOINT_URL_S3": nowhere,
        "AWS_USE_FIPS_ENDPOINT": "true",
        "AWS_USE_DUALSTACK_ENDPOINT": "true",
        "AWS_CA_BUNDLE": str(folder / "absent.pem"),
        "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/other",
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(folder / "absent"),
    }


@pytest.fixture(scope="module")
def bootstrapped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A bootstrapped local AWS, which commands in this process reach from a misleading shell."""
    local = config.load("local")
    folder = tmp_path_factory.mktemp("bootstrapped")
    with Cloud.started(folder, region=local.region, enforce_policies=False) as started:
        shell = {
            **misleading_shell(folder),
            "AWS_ENDPOINT_URL": started.aws.endpoint_url,
            "PATH": f"{CDK.parents[2] / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}",
        }
        with mock.patch.dict(os.environ, shell), mock.patch.object(boto3, "DEFAULT_SESSION", None):
            connect(local)
            # Outside the project: another test may run the CDK CLI there at the same time.
            cdk("bootstrap", f"aws://{ACCOUNT}/{local.region}", local=True, root=folder)
            yield started
