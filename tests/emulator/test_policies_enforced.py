"""The roles' policies, enforced: each action that a role may do is needed, and no other is allowed.

Prod's stacks are deployed to local AWS that enforces policies; `tests/e2e` does the same with environment
local. An action is removed from its role: then a path fails, or AWS's own page requires the action where the
emulator cannot tell.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
import requests
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError, WaiterError

from infra import names
from infra.config import ENVIRONMENTS
from infra.emulator.sagemaker.capture import WRITTEN_AFTER_S
from infra.local_aws import ACCOUNT
from scripts.commands.drift import drift
from scripts.console import DeliveryError
from tests.emulator.deployment import REGION, deployment_tags
from tests.emulator.production import ADDED, ROLES, Prod
from tests.gateway.sagemaker import PREDICTION
from tests.infra.synthesis import (
    FIXTURE_ENVIRONMENTS,
    RELEASE,
    as_list,
    record_for,
    synthesize,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


# What needs the actions. Each returns None where it works, otherwise the reason why it does not.
Check = Callable[[Prod], "str | None"]


def start(prod: Prod) -> str | None:
    """Create another endpoint with the deployed configuration."""
    name = prod.cloud.begin_endpoint(prod.outputs("endpoint")["EndpointConfigName"])
    with suppress(WaiterError):
        prod.cloud.wait(name)
    reason = prod.cloud.sagemaker.describe_endpoint(EndpointName=name).get("FailureReason")
    prod.cloud.delete(name)
    return reason


def predict(prod: Prod) -> str | None:
    return _call(prod, "POST", "/predict")


def health(prod: Prod) -> str | None:
    return _call(prod, "GET", "/health")


def label(prod: Prod) -> str | None:
    """Label a prediction in a new instance of the Lambda, which has not read the key of the ids yet."""
    name = names.function("prod")
    prod.cloud.functions.update_function_configuration(FunctionName=name, Timeout=28)
    request_id = _request(prod, "POST", "/predict").json()["request_id"]
    path = f"/predictions/{request_id}/label"
    return _call(prod, "POST", path, body=b'{"label": "NO"}', kind="application/json")


def _call(prod: Prod, method: str, path: str, **sent: Any) -> str | None:
    """Call the gateway; the reason is what its Lambda logged."""
    answer = _request(prod, method, path, **sent)
    return None if answer.ok else f"{answer.text} {prod.logged(names.function('prod'))[-40:]}"


def _request(
    prod: Prod, method: str, path: str, *, body: bytes = b"image", kind: str = "image/png"
) -> requests.Response:
    """Call the gateway, signed as prod requires it."""
    url = prod.url + path
    request = AWSRequest(method=method, url=url, data=body, headers={"Content-Type": kind})
    SigV4Auth(Credentials(ACCOUNT, "local"), "execute-api", REGION).add_auth(request)
    return requests.request(method, url, data=body, headers=dict(request.headers), timeout=30)


def canary(prod: Prod) -> str | None:
    """Run the scheduled canary, which finds that the model is a fake."""
    result = prod.invoke(prod.canary)
    return None if "golden phantom 101" in result else result


def prune(prod: Prod) -> str | None:
    """Delete a model and a configuration with prod's tag, as `scripts/deploy` does."""
    name = tagged(prod, "prod")
    client = prod.cloud.client("sagemaker", prod.arn("pruning"))
    try:
        client.delete_endpoint_config(EndpointConfigName=name)
        client.delete_model(ModelName=name)
    except ClientError as error:
        return str(error)
    return None


def tagged(prod: Prod, environment: str) -> str:
    """Create a model and a configuration of one name, with an environment's tag."""
    artifact = "s3://{Bucket}/{Key}".format(**prod.artifact)
    return prod.cloud.config(artifact=artifact, role=prod.arn("model"), tags=deployment_tags(environment))


def captured(prod: Prod) -> str | None:
    """Predict, and see whether the answer is captured."""
    bucket = prod.outputs("registry")["CaptureBucketName"]
    before = len(prod.cloud.keys(bucket))
    predict(prod)
    deadline = time.monotonic() + 3 * WRITTEN_AFTER_S
    while time.monotonic() < deadline:
        if len(prod.cloud.keys(bucket)) > before:
            return None
        time.sleep(0.1)
    return LOST


def drifted(prod: Prod) -> str | None:
    """Run `scripts/drift` as the nightly workflow does."""
    with prod.cloud.alone(prod.job_keys()):
        try:
            drift(prod.settings, record=RELEASE)
        except (DeliveryError, ClientError) as error:
            return str(error)
    return None


def log(prod: Prod) -> str | None:
    return _log(prod, names.function("prod"))


def canary_log(prod: Prod) -> str | None:
    return _log(prod, prod.canary)


def _log(prod: Prod, function: str) -> str | None:
    before = len(prod.logged(function))
    prod.invoke(function)
    return None if len(prod.logged(function)) > before else SILENT


REFUSED = "not authorized to perform: {action}"
LOST = "nothing was captured"
SILENT = "nothing was logged"  # on AWS, too, a Lambda without permission to log still runs

T = TypeVar("T")


def by_action(*rows: tuple[str, str, T]) -> dict[tuple[str, str], T]:
    """Return what rows say of a role's actions, by role and action."""
    return {(role, action): value for role, actions, value in rows for action in actions.split()}


VOLUME = (
    "kms:CreateGrant kms:DescribeKey kms:Encrypt kms:GenerateDataKey kms:GenerateDataKeyWithoutPlaintext "
    "kms:ReEncryptFrom kms:ReEncryptTo"
)
VPC = (
    "ec2:CreateNetworkInterface ec2:CreateNetworkInterfacePermission ec2:DeleteNetworkInterface "
    "ec2:DeleteNetworkInterfacePermission ec2:DescribeDhcpOptions ec2:DescribeNetworkInterfaces "
    "ec2:DescribeSecurityGroups ec2:DescribeSubnets ec2:DescribeVpcs"
)
DRIFT = (
    "cloudformation:DetectStackDrift cloudformation:DescribeStacks "
    "cloudformation:DescribeStackResourceDrifts cloudformation:DescribeStackDriftDetectionStatus "
    "application-autoscaling:DescribeScalableTargets sagemaker:DescribeEndpoint apigateway:GET "
    "iam:GetRole lambda:GetFunction s3:GetBucketVersioning ssm:GetParameters"
)
PULL = "ecr:GetAuthorizationToken ecr:BatchGetImage ecr:GetDownloadUrlForLayer"
LOGS = "logs:CreateLogStream logs:PutLogEvents"
LABELS = "s3:PutObject secretsmanager:GetSecretValue kms:Decrypt kms:GenerateDataKey"

# The path that fails without each action, and how.
PROVED: Mapping[tuple[str, str], tuple[Check, str]] = by_action(
    ("model", f"s3:GetObject kms:Decrypt {VOLUME}", (start, REFUSED)),
    ("model", PULL, (start, REFUSED)),
    ("model", "s3:PutObject", (captured, LOST)),
    ("lambda", "sagemaker:InvokeEndpoint", (predict, REFUSED)),
    ("lambda", "sagemaker:DescribeEndpoint", (health, REFUSED)),
    ("lambda", LABELS, (label, REFUSED)),
    ("lambda", LOGS, (log, SILENT)),
    ("canary", "lambda:InvokeFunction sagemaker:DescribeEndpoint", (canary, REFUSED)),
    ("canary", LOGS, (canary_log, SILENT)),
    ("pruning", "sagemaker:DeleteModel sagemaker:DeleteEndpointConfig", (prune, REFUSED)),
    ("watch", DRIFT, (drifted, REFUSED)),
)

_SAGEMAKER_ROLES = "https://docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-roles.html"  # CreateModel API
_GUARDRAILS = "https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails-configuration.html"
_XRAY = "https://docs.aws.amazon.com/lambda/latest/dg/services-xray.html"  # Execution role permissions

# The page of AWS that requires an action, where the emulator cannot tell.
DOCUMENTED = by_action(
    ("model", f"ecr:BatchCheckLayerAvailability logs:DescribeLogStreams {LOGS} {VPC}", _SAGEMAKER_ROLES),
    ("model", "logs:CreateLogGroup", _SAGEMAKER_ROLES),  # proved in test_batch.py
    ("model", "cloudwatch:DescribeAlarms", _GUARDRAILS),
    ("lambda", "xray:PutTraceSegments xray:PutTelemetryRecords", _XRAY),
)
# Actions that only some of the environments with the role have.
OPTIONAL = by_action(
    ("model", f"kms:Decrypt {VOLUME} cloudwatch:DescribeAlarms", ("prod", "full")),
    ("model", "s3:PutObject", ("local", "prod", "full")),
    ("model", "logs:CreateLogGroup", ("local", "full")),
    ("model", VPC, ("full",)),
    ("lambda", LABELS, ("full",)),
)


@pytest.fixture(scope="module")
def prod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prod]:
    """Prod's stacks in the emulator's region, with a model of the fake server."""
    stacks = ("registry", "endpoint", "gateway", "monitoring", "delivery")
    folder = tmp_path_factory.mktemp("prod")
    with Prod.started(folder, *stacks, added=ADDED, instances=4, adds=PREDICTION) as made:
        yield made


@pytest.mark.parametrize("environment", ["local", "prod", "full"])
def test_every_action_of_every_role_is_on_one_list(tmp_path: Path, environment: str) -> None:
    folder = FIXTURE_ENVIRONMENTS if environment == "full" else ENVIRONMENTS
    record = record_for(environment, tmp_path)
    assembly = synthesize(environment, tmp_path / "out", release=record, environments=folder)
    found = {
        (role, action)
        for role, (stack, prefix, environments) in ROLES.items()
        if environment in environments
        for id_, statement in assembly.template(stack).statements()
        if id_.startswith(prefix)
        for action in as_list(statement["Action"])
    }
    assert not PROVED.keys() & DOCUMENTED.keys()
    assert found == {
        each for each in (*PROVED, *DOCUMENTED) if environment in OPTIONAL.get(each, ROLES[each[0]][2])
    }


@pytest.mark.parametrize(
    "path", [start, predict, captured, health, label, canary, prune, log, canary_log, drifted]
)
def test_with_its_policies_each_path_works(prod: Prod, path: Check) -> None:
    assert path(prod) is None


@pytest.mark.parametrize(("role", "action"), PROVED)
def test_without_an_action_its_path_fails(prod: Prod, role: str, action: str) -> None:
    path, refusal = PROVED[role, action]
    with prod.without(role, action):
        reason = path(prod)
    assert reason
    assert refusal.format(action=action) in reason


def test_each_statement_of_the_drift_check_is_proved(prod: Prod) -> None:
    iam, role = prod.client("iam"), prod.role("watch")
    (policy,) = iam.list_role_policies(RoleName=role)["PolicyNames"]
    statements = iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]["Statement"]
    proved = {action for name, action in PROVED if name == "watch"}
    assert [each for each in statements if not proved & {*as_list(each["Action"])}] == []


def test_off_hours_are_no_drift_and_every_other_change_of_a_capacity_is(prod: Prod) -> None:
    scaling = prod.client("application-autoscaling")

    def register(**capacity: int) -> None:
        endpoint = names.endpoint("prod", mode="real-time")
        scaling.register_scalable_target(
            ServiceNamespace="sagemaker",
            ResourceId=f"endpoint/{endpoint}/variant/{names.VARIANT_NAME}",
            ScalableDimension="sagemaker:variant:DesiredInstanceCount",
            **capacity,
        )

    try:
        register(MinCapacity=2, MaxCapacity=6)  # as the schedule does in the evening
        assert drifted(prod) is None
        register(MinCapacity=1, MaxCapacity=6)
        assert "/MinCapacity is 1, but 4 was deployed" in str(drifted(prod))
        register(MinCapacity=2, MaxCapacity=60)
        assert "/MaxCapacity is 60, but 6 was deployed" in str(drifted(prod))
    finally:
        register(MinCapacity=4, MaxCapacity=6)


def test_sagemaker_takes_no_role_that_does_not_trust_it(prod: Prod) -> None:
    url = "s3://{Bucket}/{Key}".format(**prod.artifact)
    with pytest.raises(ClientError, match=r"Could not access model data .* does not trust it"):
        prod.cloud.sagemaker.create_model(
            ModelName="untrusted",
            ExecutionRoleArn=prod.arn("lambda"),
            PrimaryContainer={"Image": "any", "ModelDataUrl": url},
        )


def test_a_wrong_signature_is_refused(prod: Prod) -> None:
    forger = prod.cloud.client("sagemaker", prod.arn("lambda"))
    forger._request_signer._credentials.secret_key = "guessed"
    with pytest.raises(ClientError, match="signature"):
        forger.describe_endpoint(EndpointName="any")


# What a role may do, with another resource than its own: role, service, method and the method's arguments.
OUTSIDE: Mapping[str, tuple[str, str, str, Callable[[Prod], Mapping[str, object]]]] = {
    "the Lambda invokes another endpoint": (
        "lambda", "sagemaker-runtime", "invoke_endpoint", lambda _: {"EndpointName": "another", "Body": b""},
    ),
    "the Lambda describes another endpoint": (
        "lambda", "sagemaker", "describe_endpoint", lambda _: {"EndpointName": "another"},
    ),
    "the Lambda writes beside the labels": (
        "lambda", "s3", "put_object",
        lambda prod: {"Bucket": prod.outputs("registry")["LabelBucketName"], "Key": "notes.txt", "Body": b""},
    ),
    "the Lambda reads a label": (
        "lambda", "s3", "get_object",
        lambda prod: {"Bucket": prod.outputs("registry")["LabelBucketName"], "Key": "labels/any.json"},
    ),
    "the Lambda reads another secret": (
        "lambda", "secretsmanager", "get_secret_value", lambda _: {"SecretId": "another"},
    ),
    "the model reads beside the artifacts": (
        "model", "s3", "get_object", lambda prod: {**prod.artifact, "Key": "notes.txt"},
    ),
    "the model pulls another image": (
        "model", "ecr", "batch_get_image",
        lambda _: {"repositoryName": "another", "imageIds": [{"imageTag": "latest"}]},
    ),
    "the pruning deletes another environment's model": (
        "pruning", "sagemaker", "delete_model", lambda prod: {"ModelName": tagged(prod, "dev")},
    ),
    "the drift check reads an API key": (
        "watch", "apigateway", "get_api_keys", lambda _: {"includeValues": True},
    ),
    "the drift check reads an artifact": ("watch", "s3", "get_object", lambda prod: prod.artifact),
    "the drift check reads a log": (
        "watch", "logs", "filter_log_events",
        lambda prod: {"logGroupName": prod.resources("gateway")["AWS::Logs::LogGroup"]},
    ),
    "the canary calls another function": (
        "canary", "lambda", "invoke", lambda prod: {"FunctionName": prod.canary, "Payload": b"{}"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", OUTSIDE)
def test_what_is_outside_a_role_is_refused(prod: Prod, what: str) -> None:
    role, service, method, arguments = OUTSIDE[what]
    client = prod.acting(role, service)
    with pytest.raises(ClientError, match=r"AccessDenied.*is not authorized to perform"):
        getattr(client, method)(**arguments(prod))
