"""Local AWS as the tests use it."""

from __future__ import annotations

import io
import json
import os
import tarfile
import time
import uuid
import zipfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self
from unittest import mock

import boto3
import pytest
from botocore.exceptions import WaiterError

from infra.emulator import LocalAws
from infra.local_aws import ACCOUNT, gateway_url, local_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_ecr import ECRClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sagemaker import SageMakerClient
    from mypy_boto3_sagemaker.type_defs import WaiterConfigTypeDef
    from mypy_boto3_sagemaker_runtime import SageMakerRuntimeClient

FAKE_SERVER = ("tests.emulator.fake_server:main",)
ROLE = "arn:aws:iam::000000000000:role/model"
IMAGE = "000000000000.dkr.ecr.us-east-1.amazonaws.com/absent:latest"
BUCKET = "models"
AT_ONCE: WaiterConfigTypeDef = {"Delay": 0, "MaxAttempts": 5000}  # boto3's default is every 30 s


@dataclass
class Cloud:
    """Clients of local AWS, and what most tests need first."""

    aws: LocalAws
    region: str = ""

    def __post_init__(self) -> None:
        self.s3: S3Client = self.client("s3")
        self.ecr: ECRClient = self.client("ecr")
        self.stacks: CloudFormationClient = self.client("cloudformation")
        self.sagemaker: SageMakerClient = self.client("sagemaker")
        self.runtime: SageMakerRuntimeClient = self.client("sagemaker-runtime")
        self.functions: Any = self.client("lambda")
        self.create_bucket(BUCKET)

    @classmethod
    @contextmanager
    def started(cls, folder: Path, **options: Any) -> Iterator[Self]:
        """Start local AWS that enforces policies and runs the fake server, or as the options say."""
        usual: dict[str, Any] = {"engine": "process", "program": FAKE_SERVER, "enforce_policies": True}
        with LocalAws(port=0, log=folder / "aws.log", **usual | options) as aws:
            yield cls(aws)

    def create_bucket(self, name: str) -> None:
        """Create a bucket, if there is none of that name; outside us-east-1 its region must be named."""
        region = self.region or self.aws.region
        place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        with suppress(self.s3.exceptions.BucketAlreadyOwnedByYou):
            self.s3.create_bucket(Bucket=name, **place)  # type: ignore[arg-type]

    def client(self, service: str, role: str | None = None, **options: Any) -> Any:
        """Return a client of a service, which acts as a role if one is given by its ARN."""
        keys = {"AccessKeyId": ACCOUNT, "SecretAccessKey": "local"}
        if role:
            sts = self.client("sts")
            keys = sts.assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
        known: dict[str, Any] = {
            "endpoint_url": self.aws.endpoint_url,
            "region_name": self.region or self.aws.region,
            "aws_access_key_id": keys["AccessKeyId"],
            "aws_secret_access_key": keys["SecretAccessKey"],
            "aws_session_token": keys.get("SessionToken"),
        }
        return boto3.client(service, **known | options)  # type: ignore[call-overload]

    def gateway_url(self, outputs: Mapping[str, str]) -> str:
        """URL of the stage that the outputs of a gateway's stack name."""
        return gateway_url(outputs["ApiId"], outputs["StageName"], port=self.aws.port)

    def api_key(self, outputs: Mapping[str, str]) -> str:
        """Return the API key that the outputs of a gateway's stack name."""
        found = self.client("apigateway").get_api_key(apiKey=outputs["ApiKeyId"], includeValue=True)
        return str(found["value"])

    def connect(self, patch: pytest.MonkeyPatch) -> None:
        """Let this process's own clients reach local AWS, whatever the shell has set."""
        environment = local_environment(os.environ, port=self.aws.port, region=self.aws.region)
        for name in os.environ.keys() - environment.keys():
            patch.delenv(name)
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.setattr(boto3, "DEFAULT_SESSION", None)

    @contextmanager
    def alone(self, keys: Mapping[str, str] | None = None) -> Iterator[None]:
        """Let all of this process reach local AWS and nothing else, with a role's keys if they are given."""
        variables = local_environment(os.environ, port=self.aws.port, region=self.aws.region)
        with (
            mock.patch.dict(os.environ, variables | dict(keys or {}), clear=True),
            mock.patch.object(boto3, "DEFAULT_SESSION", None),
        ):
            yield

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        """Return the keys of a bucket's objects below a prefix."""
        listed = self.s3.list_objects_v2(Bucket=bucket, Prefix=prefix)
        return [each["Key"] for each in listed.get("Contents", [])]

    def read(self, bucket: str, key: str) -> bytes:
        """Return an object's content."""
        return self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()

    def lines(self, prefix: str) -> list[dict[str, Any]]:
        """Return the documents of all files of JSON lines below a prefix."""
        bodies = [self.read(BUCKET, key) for key in self.keys(BUCKET, prefix)]
        return [json.loads(line) for body in bodies for line in body.splitlines()]

    def artifact(self, **behaviour: object) -> str:
        """Upload a model of the fake server and return its URL."""
        return self.upload(archive("behaviour.json", json.dumps(behaviour).encode()))

    def upload(self, archive: bytes) -> str:
        key = f"{uuid.uuid4().hex}/model.tar.gz"
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=archive)
        return f"s3://{BUCKET}/{key}"

    def config(
        self,
        *,
        artifact: str | None = None,
        image: str = IMAGE,
        isolated: bool = False,
        serverless: bool = False,
        role: str = ROLE,
        tags: Any = (),
        name: str | None = None,
        capture: Any = None,
        shadow: Mapping[str, object] | None = None,
        weight: float = 1,
        **behaviour: object,
    ) -> str:
        """Create a model and an endpoint configuration of one name, and return it.

        `shadow` is the behaviour of a shadow variant with this `weight`.
        """
        name = name or f"config-{uuid.uuid4().hex[:8]}"
        url = artifact or self.artifact(**behaviour)
        environment = {"MODEL_NAME": name, "MODEL_VERSION": "1", "MODEL_SHA256": "ab" * 32}
        self.sagemaker.create_model(
            ModelName=name,
            ExecutionRoleArn=role,
            EnableNetworkIsolation=isolated,
            PrimaryContainer={"Image": image, "ModelDataUrl": url, "Environment": environment},
            Tags=tags,
        )
        variant: Any = {"VariantName": "champion", "ModelName": name}
        if serverless:
            variant["ServerlessConfig"] = {"MemorySizeInMB": 1024, "MaxConcurrency": 5}
        else:
            variant |= {"InstanceType": "ml.m5.large", "InitialInstanceCount": 2}
        optional: dict[str, Any] = {"DataCaptureConfig": capture} if capture else {}
        if shadow is not None:
            self.sagemaker.create_model(
                ModelName=f"{name}-shadow",
                ExecutionRoleArn=role,
                PrimaryContainer={"Image": image, "ModelDataUrl": self.artifact(**shadow)},
            )
            mine = {"VariantName": "shadow", "ModelName": f"{name}-shadow", "InitialVariantWeight": weight}
            optional["ShadowProductionVariants"] = [variant | mine]
        self.sagemaker.create_endpoint_config(
            EndpointConfigName=name, ProductionVariants=[variant], Tags=tags, **optional
        )
        return name

    def create_stack(self, name: str, template: Mapping[str, Any], **options: Any) -> dict[str, str]:
        """Create a stack, wait for it, and return its outputs."""
        body = json.dumps(template)
        self.stacks.create_stack(
            StackName=name, TemplateBody=body, Capabilities=["CAPABILITY_NAMED_IAM"], **options
        )
        self.stacks.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig=AT_ONCE)
        return self.outputs(name)

    def refusal(self, **resources: object) -> str:
        """Return why a stack of these resources fails."""
        name = f"refused-{uuid.uuid4().hex[:8]}"
        with pytest.raises(WaiterError):
            self.create_stack(name, {"Resources": resources})
        return self.reasons(name)

    def update_stack(self, name: str, template: Mapping[str, Any]) -> None:
        self.stacks.update_stack(StackName=name, TemplateBody=json.dumps(template))
        self.stacks.get_waiter("stack_update_complete").wait(StackName=name, WaiterConfig=AT_ONCE)

    def delete_stack(self, name: str) -> None:
        self.stacks.delete_stack(StackName=name)
        self.stacks.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig=AT_ONCE)

    def stack_status(self, name: str) -> str:
        return self.stacks.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]

    def outputs(self, stack: str) -> dict[str, str]:
        [described] = self.stacks.describe_stacks(StackName=stack)["Stacks"]
        return {each["OutputKey"]: each["OutputValue"] for each in described.get("Outputs", [])}

    def reasons(self, stack: str) -> str:
        """Return the reasons of the failures among a stack's events."""
        events = self.stacks.describe_stack_events(StackName=stack)["StackEvents"]
        failed = [each for each in events if each["ResourceStatus"].endswith("_FAILED")]
        return "\n".join(f"{e['LogicalResourceId']}: {e.get('ResourceStatusReason')}" for e in failed)

    def role(self, stack: str, prefix: str) -> str:
        """Return the name of the role of a stack whose logical id begins so."""
        (found,) = [
            each["PhysicalResourceId"]
            for each in self.stacks.describe_stack_resources(StackName=stack)["StackResources"]
            if each["ResourceType"] == "AWS::IAM::Role" and each["LogicalResourceId"].startswith(prefix)
        ]
        return found

    def begin_endpoint(self, config: str, name: str | None = None) -> str:
        """Begin to create an endpoint and return its name."""
        name = name or f"endpoint-{uuid.uuid4().hex[:8]}"
        self.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config)
        return name

    def endpoint(self, config: str, name: str | None = None) -> str:
        """Create an endpoint and return its name once it serves."""
        name = self.begin_endpoint(config, name)
        self.wait(name)
        return name

    def failed_endpoint(self, config: str) -> str:
        """Create an endpoint that does not come up, and return its failure reason."""
        name = self.begin_endpoint(config)
        with pytest.raises(WaiterError, match="Waiter EndpointInService failed"):
            self.wait(name)
        described = self.sagemaker.describe_endpoint(EndpointName=name)
        assert described["EndpointStatus"] == "Failed"
        return described["FailureReason"]

    def wait(self, endpoint: str) -> None:
        """Wait with boto3's own waiter until the endpoint serves."""
        self.sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=endpoint, WaiterConfig=AT_ONCE)

    def update(self, endpoint: str, config: str) -> None:
        """Move an endpoint to another configuration, and wait until it serves that or the former one."""
        self.sagemaker.update_endpoint(EndpointName=endpoint, EndpointConfigName=config)
        self.wait(endpoint)

    def delete(self, endpoint: str) -> None:
        """Delete an endpoint and wait until it is gone."""
        self.sagemaker.delete_endpoint(EndpointName=endpoint)
        self.sagemaker.get_waiter("endpoint_deleted").wait(EndpointName=endpoint, WaiterConfig=AT_ONCE)

    def invoke(self, endpoint: str, body: bytes = b"image") -> dict[str, Any]:
        """Invoke an endpoint and return its answer's JSON."""
        answer = self.runtime.invoke_endpoint(EndpointName=endpoint, Body=body)
        parsed: dict[str, Any] = json.loads(answer["Body"].read())
        return parsed


def capture_to(prefix: str, *modes: str, percent: int = 100) -> dict[str, object]:
    """Return a configuration that captures these modes below a prefix."""
    return {
        "EnableCapture": True,
        "InitialSamplingPercentage": percent,
        "DestinationS3Uri": f"s3://{BUCKET}/{prefix}",
        "CaptureOptions": [{"CaptureMode": mode} for mode in modes],
        "CaptureContentTypeHeader": {"JsonContentTypes": ["application/json"]},
    }


def archive(name: str, content: bytes, *, kind: bytes = tarfile.REGTYPE, target: str = "") -> bytes:
    """Return a gzipped tar archive of one member; `target` is what a link points at."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as members:
        member = tarfile.TarInfo(name)
        member.type, member.linkname, member.size = kind, target, len(content)
        members.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def zipped(files: Mapping[str, bytes]) -> bytes:
    """Return a zip archive of files by their names."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def wait_for(condition: Callable[[], object], *, timeout_s: float = 15) -> None:
    """Return once a condition holds, or fail."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s"
        time.sleep(0.05)
