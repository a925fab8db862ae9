"""The roles' policies, enforced: each action that a role may do is needed, and no other is let through.

The roles are those of the templates, deployed to a laptop's AWS that enforces policies. An action is taken
out of its role: then a named path fails, or the laptop cannot tell and AWS's own page says who needs it.
"""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError, WaiterError

from infra import names
from infra.config import ENVIRONMENTS
from infra.local import LocalAws
from tests.infra.synthesis import FIXTURE_ENVIRONMENTS, record_for, synthesize
from tests.local.cloud import AT_ONCE, FAKE_SERVER, Cloud
from tests.local.deployment import REGION
from tests.local.roles import DEPLOYED, ROLES, Roles, allowed, deploy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import requests

    from tests.infra.synthesis import Assembly


def start(roles: Roles) -> str | None:
    """Bring another endpoint up from the deployed configuration."""
    sagemaker = roles.deployment.cloud.sagemaker
    name = f"other-{uuid.uuid4().hex[:8]}"
    config = roles.deployment.outputs("endpoint")["EndpointConfigName"]
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config)
    try:
        sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig=AT_ONCE)
        return None
    except WaiterError:
        return sagemaker.describe_endpoint(EndpointName=name)["FailureReason"]
    finally:
        roles.deployment.cloud.delete(name)


def predict(roles: Roles) -> str | None:
    """Classify an image."""
    return _answered(roles, roles.ask("POST", "/predict", b"image"))


def health(roles: Roles) -> str | None:
    """Ask whether it serves."""
    return _answered(roles, roles.ask("GET", "/health"))


def _answered(roles: Roles, answer: requests.Response) -> str | None:
    """Return the cause that the Lambda logged for anything but a success."""
    if answer.ok:
        return None
    return f"{answer.status_code} {answer.text} {roles.logged(names.function(roles.environment))[-12:]}"


def log(roles: Roles) -> str | None:
    """Let the gateway's Lambda write its log."""
    return _logs(roles, names.function(roles.environment))


def canary(roles: Roles) -> str | None:
    """Let the scheduled canary ask the gateway; it then finds that the model is a stand-in."""
    answer = roles.deployment.cloud.functions.invoke(FunctionName=_canary_name(roles), Payload=b"{}")
    said = answer["Payload"].read().decode()
    return None if "golden phantom 101" in said else said


def canary_log(roles: Roles) -> str | None:
    """Let the canary write its log."""
    return _logs(roles, _canary_name(roles))


def _canary_name(roles: Roles) -> str:
    return roles.deployment.resources("sight")["AWS::Lambda::Function"]


def _logs(roles: Roles, function: str) -> str | None:
    before = len(roles.logged(function))
    roles.deployment.cloud.functions.invoke(FunctionName=function, Payload=b"{}")
    return None if len(roles.logged(function)) > before else "nothing was logged"


REFUSED = "not authorized to perform: {action}"
SILENT = "nothing was logged"  # on AWS, too, a Lambda that may not log goes on

# (role, action): the path that fails without it, and how.
PROVED: Mapping[tuple[str, str], tuple[Callable[[Roles], str | None], str]] = {
    ("model", "s3:GetObject"): (start, REFUSED),
    ("model", "kms:Decrypt"): (start, REFUSED),
    ("model", "ecr:GetAuthorizationToken"): (start, REFUSED),
    ("model", "ecr:BatchGetImage"): (start, REFUSED),
    ("model", "ecr:GetDownloadUrlForLayer"): (start, REFUSED),
    ("lambda", "sagemaker:InvokeEndpoint"): (predict, REFUSED),
    ("lambda", "sagemaker:DescribeEndpoint"): (health, REFUSED),
    ("lambda", "logs:CreateLogStream"): (log, SILENT),
    ("lambda", "logs:PutLogEvents"): (log, SILENT),
    ("canary", "lambda:InvokeFunction"): (canary, REFUSED),
    ("canary", "sagemaker:DescribeEndpoint"): (canary, REFUSED),
    ("canary", "logs:CreateLogStream"): (canary_log, SILENT),
    ("canary", "logs:PutLogEvents"): (canary_log, SILENT),
}

_SAGEMAKER_ROLES = "https://docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-roles.html"  # CreateModel API
_PUT_OBJECT = "https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html"  # Permissions
_SSE_KMS = "https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html"  # Permissions
_XRAY = "https://docs.aws.amazon.com/lambda/latest/dg/services-xray.html"  # Execution role permissions

VPC = (
    "CreateNetworkInterface",
    "CreateNetworkInterfacePermission",
    "DeleteNetworkInterface",
    "DeleteNetworkInterfacePermission",
    "DescribeDhcpOptions",
    "DescribeNetworkInterfaces",
    "DescribeSecurityGroups",
    "DescribeSubnets",
    "DescribeVpcs",
)

# (role, action): the page of AWS that requires it, where the laptop cannot tell.
DOCUMENTED = {
    ("model", "ecr:BatchCheckLayerAvailability"): _SAGEMAKER_ROLES,
    ("model", "logs:CreateLogStream"): _SAGEMAKER_ROLES,
    ("model", "logs:DescribeLogStreams"): _SAGEMAKER_ROLES,
    ("model", "logs:PutLogEvents"): _SAGEMAKER_ROLES,
    (
        "model",
        "cloudwatch:DescribeAlarms",
    ): "https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails-configuration.html",
    ("model", "s3:PutObject"): _PUT_OBJECT,  # what is captured, SageMaker puts there as this role
    ("model", "kms:GenerateDataKey"): _SSE_KMS,
    **{("model", f"ec2:{action}"): _SAGEMAKER_ROLES for action in VPC},
    ("lambda", "xray:PutTraceSegments"): _XRAY,
    ("lambda", "xray:PutTelemetryRecords"): _XRAY,
}
# Actions that only some of the environments with the role have.
OPTIONAL = {
    ("model", "kms:Decrypt"): ("prod", "full"),
    ("model", "cloudwatch:DescribeAlarms"): ("prod", "full"),
    ("model", "s3:PutObject"): ("full",),
    ("model", "kms:GenerateDataKey"): ("full",),
    **{("model", f"ec2:{action}"): ("full",) for action in VPC},
}


def where(role: str, action: str) -> tuple[str, ...]:
    """Environments whose role has this action."""
    return OPTIONAL.get((role, action), ROLES[role][2])


def deployed(environments: tuple[str, ...]) -> tuple[str, ...]:
    """Those of them that are deployed here."""
    return tuple(each for each in environments if each in DEPLOYED)


@pytest.fixture(scope="module")
def enforcing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    log_file = tmp_path_factory.mktemp("enforcing") / "aws.log"
    program = [str(FAKE_SERVER)]
    with LocalAws(port=0, engine="process", log=log_file, program=program, enforce_policies=True) as aws:
        yield Cloud(aws)


@pytest.fixture(scope="module")
def environments(enforcing: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Roles]:
    """The stacks of those that are deployed, in the laptop's region."""
    made = {}
    for environment, stacks in (("local", ()), ("prod", ("sight",))):
        folder = tmp_path_factory.mktemp(environment)
        written = (ENVIRONMENTS / f"{environment}.toml").read_text()
        (folder / f"{environment}.toml").write_text(re.sub(r'region = ".*"', f'region = "{REGION}"', written))
        made[environment] = deploy(enforcing, environment, folder, stacks)
    return made


@pytest.fixture(scope="module")
def assemblies(
    environments: Mapping[str, Roles], tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, Assembly]:
    """What was deployed, and every optional part of the settings."""
    folder = tmp_path_factory.mktemp("full")
    release = record_for("full", folder)
    full = synthesize("full", folder / "out", release=release, environments=FIXTURE_ENVIRONMENTS)
    return {name: roles.deployment.assembly for name, roles in environments.items()} | {"full": full}


@pytest.mark.parametrize("environment", [*DEPLOYED, "full"])
def test_every_action_of_every_role_is_on_one_list(
    assemblies: Mapping[str, Assembly], environment: str
) -> None:
    found = {
        (role, action)
        for role in ROLES
        if environment in ROLES[role][2]
        for action in allowed(assemblies[environment], role)
    }
    assert not PROVED.keys() & DOCUMENTED.keys()
    assert found == {each for each in (*PROVED, *DOCUMENTED) if environment in where(*each)}


@pytest.mark.parametrize(
    ("environment", "path"),
    sorted(
        {
            (environment, path.__name__)
            for each, (path, _) in PROVED.items()
            for environment in deployed(where(*each))
        }
    ),
)
def test_with_its_policies_each_path_works(
    environments: Mapping[str, Roles], environment: str, path: str
) -> None:
    (ask,) = {ask for ask, _ in PROVED.values() if ask.__name__ == path}
    assert ask(environments[environment]) is None


@pytest.mark.parametrize(
    ("environment", "role", "action"),
    [(environment, *each) for each in PROVED for environment in deployed(where(*each))],
)
def test_without_an_action_its_path_fails(
    environments: Mapping[str, Roles], environment: str, role: str, action: str
) -> None:
    roles = environments[environment]
    path, refusal = PROVED[role, action]
    with roles.without(role, action):
        said = path(roles)
    assert said
    assert refusal.format(action=action) in said


def test_sagemaker_takes_no_role_that_does_not_trust_it(environments: Mapping[str, Roles]) -> None:
    roles = environments["local"]
    arn = roles.deployment.client("iam").get_role(RoleName=roles.name("lambda"))["Role"]["Arn"]
    artifact = roles.artifact
    with pytest.raises(ClientError, match=r"Could not access model data .* does not trust it"):
        roles.deployment.cloud.sagemaker.create_model(
            ModelName="untrusted",
            ExecutionRoleArn=arn,
            PrimaryContainer={"Image": "any", "ModelDataUrl": f"s3://{artifact['Bucket']}/{artifact['Key']}"},
        )


def test_a_signature_that_is_not_right_is_refused(environments: Mapping[str, Roles]) -> None:
    forger = environments["local"].client("lambda", "sagemaker")
    forger._request_signer._credentials.secret_key = "guessed"
    with pytest.raises(ClientError, match="signature"):
        forger.describe_endpoint(EndpointName="any")


def test_each_page_is_one_of_aws() -> None:
    assert all(page.startswith("https://docs.aws.amazon.com/") for page in DOCUMENTED.values())


# What no role may do, though it is near to what it may.
OUTSIDE: Mapping[str, tuple[str, str, Callable[[Any, Roles], object]]] = {
    "the Lambda reads a model": ("lambda", "s3", lambda s3, roles: s3.get_object(**roles.artifact)),
    "the Lambda lists the models": (
        "lambda",
        "s3",
        lambda s3, roles: s3.list_objects_v2(Bucket=roles.artifact["Bucket"]),
    ),
    "the Lambda invokes another endpoint": (
        "lambda",
        "sagemaker-runtime",
        lambda runtime, _: runtime.invoke_endpoint(EndpointName="another", Body=b""),
    ),
    "the Lambda deletes its endpoint": (
        "lambda",
        "sagemaker",
        lambda sagemaker, roles: sagemaker.delete_endpoint(
            EndpointName=roles.deployment.outputs("endpoint")["EndpointName"]
        ),
    ),
    "the Lambda lists endpoints": ("lambda", "sagemaker", lambda sagemaker, _: sagemaker.list_endpoints()),
    "the Lambda takes the model's role": (
        "lambda",
        "sts",
        lambda sts, roles: sts.assume_role(
            RoleArn=f"arn:aws:iam::{roles.deployment.cloud.aws.account}:role/{roles.name('model')}",
            RoleSessionName="other",
        ),
    ),
    "the model overwrites its artifact": (
        "model",
        "s3",
        lambda s3, roles: s3.put_object(**roles.artifact, Body=b"another"),
    ),
    "the model deletes its artifact": ("model", "s3", lambda s3, roles: s3.delete_object(**roles.artifact)),
    "the model reads beside the artifacts": (
        "model",
        "s3",
        lambda s3, roles: s3.get_object(Bucket=roles.artifact["Bucket"], Key="notes.txt"),
    ),
    "the model pushes an image": (
        "model",
        "ecr",
        lambda ecr, roles: ecr.put_image(repositoryName=roles.image, imageTag="mine", imageManifest="{}"),
    ),
    "the model pulls another image": (
        "model",
        "ecr",
        lambda ecr, _: ecr.batch_get_image(repositoryName="another", imageIds=[{"imageTag": "latest"}]),
    ),
    "the model invokes its endpoint": (
        "model",
        "sagemaker-runtime",
        lambda runtime, roles: runtime.invoke_endpoint(
            EndpointName=roles.deployment.outputs("endpoint")["EndpointName"], Body=b""
        ),
    ),
    "the canary asks the endpoint past the gateway": (
        "canary",
        "sagemaker-runtime",
        lambda runtime, roles: runtime.invoke_endpoint(
            EndpointName=roles.deployment.outputs("endpoint")["EndpointName"], Body=b""
        ),
    ),
    "the canary calls another function": (
        "canary",
        "lambda",
        lambda functions, roles: functions.invoke(FunctionName=_canary_name(roles), Payload=b"{}"),
    ),
    "the canary reads a model": ("canary", "s3", lambda s3, roles: s3.get_object(**roles.artifact)),
}


@pytest.mark.parametrize(
    ("environment", "what"),
    [(each, what) for what, (role, _, _) in OUTSIDE.items() for each in deployed(ROLES[role][2])],
)
def test_what_is_outside_a_role_is_refused(
    environments: Mapping[str, Roles], environment: str, what: str
) -> None:
    role, service, act = OUTSIDE[what]
    roles = environments[environment]
    with pytest.raises(ClientError, match=r"AccessDenied.*is not authorized to perform"):
        act(roles.client(role, service), roles)
