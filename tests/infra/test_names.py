"""Names fit into what AWS allows, for every environment that settings allow."""

from __future__ import annotations

import re

import pytest

from infra import names

LONGEST_ENVIRONMENT = "preproduction"
LONGEST_REGION = "ap-southeast-2"


def test_the_longest_environment_name_is_the_longest_allowed() -> None:
    assert re.fullmatch(names.ENVIRONMENT_NAME, LONGEST_ENVIRONMENT)
    assert not re.fullmatch(names.ENVIRONMENT_NAME, LONGEST_ENVIRONMENT + "x")


def test_every_name_fits_aws_limits() -> None:
    bucket = names.bucket(LONGEST_ENVIRONMENT, account="123456789012", region=LONGEST_REGION)
    assert len(bucket) <= 63
    assert len(names.endpoint(LONGEST_ENVIRONMENT, mode="serverless")) <= 63
    assert len(names.image_publishing_role(LONGEST_ENVIRONMENT)) <= 64
    assert re.fullmatch(r"[a-z0-9](-*[a-z0-9])*", bucket)


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_each_hosting_mode_has_an_endpoint_name_of_its_own(environment: str) -> None:
    real_time = names.endpoint(environment, mode="real-time")
    assert real_time != names.endpoint(environment, mode="serverless")
    assert environment in real_time
