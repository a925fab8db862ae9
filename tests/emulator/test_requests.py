"""Requests that AWS refuses are refused by the emulator, with AWS's error codes."""

from __future__ import annotations

import copy
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from infra.emulator.validation.shapes import validate
from infra.paths import ROOT
from tests.emulator.deployment import resource

if TYPE_CHECKING:
    from tests.emulator.cloud import Cloud

# By operation: a right request, and the wrong ones as its changed member (null removes it), the value, and
# the refusal as a regular expression with these abbreviations.
FIXTURES = ROOT / "tests" / "fixtures"
CASES: dict[str, Any] = json.loads((FIXTURES / "requests.json").read_text())
WRONG = [(operation, *wrong) for operation, cases in CASES.items() for wrong in cases["wrong"]]
CONSTRAINTS = {
    "<length>": r"Member must have length (less|greater) than",
    "<value>": r"Member must have value (less|greater) than",
    "<pattern>": r"must satisfy regular expression",
    "<enum>": r"Member must satisfy enum value set: \[",
    "<required>": r"Member must not be null",
}
# Wrong resources of a template: type, properties, and the refusal as a regular expression.
RESOURCES = json.loads((FIXTURES / "resources.json").read_text())


def changed(request: dict[str, Any], member: str, value: object) -> dict[str, Any]:
    request = copy.deepcopy(request)
    *path, last = [int(step) if step.isdigit() else step for step in member.split(".")]
    place: Any = request
    for step in path:
        place = place[step]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return request


def send(cloud: Cloud, operation: str, request: dict[str, Any]) -> None:
    """Send a request that boto3 itself does not check."""
    service, name = operation.split()
    cloud.client(service, config=Config(parameter_validation=False))._make_api_call(name, request)


@pytest.mark.parametrize("operation", CASES)
def test_the_right_requests_pass(operation: str) -> None:
    service, name = operation.split()
    validate(service, name, CASES[operation]["right"])


@pytest.mark.parametrize(("operation", "member", "value", "refusal"), WRONG)
def test_each_wrong_request_is_refused(
    cloud: Cloud, operation: str, member: str, value: object, refusal: str
) -> None:
    for short, constraint in CONSTRAINTS.items():
        refusal = refusal.replace(short, constraint)
    with pytest.raises(ClientError, match=refusal) as caught:
        send(cloud, operation, changed(CASES[operation]["right"], member, value))
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_a_canary_needs_two_instances_and_the_same_variant(cloud: Cloud) -> None:
    endpoint = cloud.endpoint(cloud.config(answer="first"))
    second = cloud.sagemaker.describe_endpoint_config(EndpointConfigName=cloud.config(answer="second"))
    [variant] = second["ProductionVariants"]
    guardrails = CASES["sagemaker UpdateEndpoint"]["right"]["DeploymentConfig"]
    for name, change, refusal in (
        ("one", {"InitialInstanceCount": 1}, "at least 2 instances"),
        ("other", {"VariantName": "other"}, "names of the variants must stay"),
    ):
        config, variants = f"{endpoint}-{name}", [{**variant, **change}]
        cloud.sagemaker.create_endpoint_config(EndpointConfigName=config, ProductionVariants=variants)  # type: ignore[arg-type]
        update = {"EndpointName": endpoint, "EndpointConfigName": config, "DeploymentConfig": guardrails}
        with pytest.raises(ClientError, match=refusal):
            send(cloud, "sagemaker UpdateEndpoint", update)
    update |= {"EndpointName": "refused", "EndpointConfigName": f"{endpoint}-one"}
    with pytest.raises(ClientError, match="at least 2 instances"):
        send(cloud, "sagemaker CreateEndpoint", update)
    with pytest.raises(ClientError, match="Could not find"):
        cloud.sagemaker.describe_endpoint(EndpointName="refused")


@pytest.mark.parametrize(("kind", "properties", "refusal"), RESOURCES)
def test_what_cloudformation_would_request_is_checked_as_well(
    cloud: Cloud, kind: str, properties: dict[str, Any], refusal: str
) -> None:
    assert re.search(f"Wrong: .*{refusal}", cloud.refusal(Wrong=resource(kind, **properties)))
