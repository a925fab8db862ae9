"""One laptop's AWS for most tests of it, and one that commands reach; endpoints run the stand-in server."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import boto3
import pytest

from infra import config
from infra.local import LocalAws
from scripts.delivery.aws import reach
from scripts.delivery.cdk import CDK, cdk
from tests.local.cloud import FAKE_SERVER, Cloud

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    log = tmp_path_factory.mktemp("laptop") / "aws.log"
    with LocalAws(port=0, engine="process", log=log, program=[str(FAKE_SERVER)]) as aws:
        yield Cloud(aws)


@pytest.fixture(scope="module")
def reached(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A bootstrapped laptop, which the commands in this process reach as environment local."""
    local = config.load("local")
    log = tmp_path_factory.mktemp("reached") / "aws.log"
    before = dict(os.environ)
    with (
        LocalAws(port=0, engine="process", log=log, region=local.region, program=[str(FAKE_SERVER)]) as aws,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("AWS_ENDPOINT_URL", aws.endpoint_url)
        patch.setenv("PATH", f"{CDK.parents[2] / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}")
        patch.setattr(boto3, "DEFAULT_SESSION", None)
        reach(local)
        cdk("bootstrap", f"aws://{aws.account}/{local.region}")
        yield Cloud(aws)
    os.environ.clear()
    os.environ.update(before)
