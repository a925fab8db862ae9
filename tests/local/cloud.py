"""A laptop's AWS as the tests use it."""

from __future__ import annotations

import io
import json
import tarfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import WaiterError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_ecr import ECRClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sagemaker import SageMakerClient
    from mypy_boto3_sagemaker.type_defs import WaiterConfigTypeDef
    from mypy_boto3_sagemaker_runtime import SageMakerRuntimeClient

    from infra.local import LocalAws

FAKE_SERVER = Path(__file__).with_name("fake_server.py")
ROLE = "arn:aws:iam::000000000000:role/model"
IMAGE = "000000000000.dkr.ecr.us-east-1.amazonaws.com/absent:latest"
BUCKET = "models"
AT_ONCE: WaiterConfigTypeDef = {"Delay": 0, "MaxAttempts": 5000}  # boto3 asks every 30 s by itself


@dataclass
class Cloud:
    """Clients of a laptop's AWS, and short cuts to what most tests begin with."""

    aws: LocalAws

    def __post_init__(self) -> None:
        self.s3: S3Client = self.client("s3")
        self.ecr: ECRClient = self.client("ecr")
        self.stacks: CloudFormationClient = self.client("cloudformation")
        self.sagemaker: SageMakerClient = self.client("sagemaker")
        self.runtime: SageMakerRuntimeClient = self.client("sagemaker-runtime")
        self.functions: Any = self.client("lambda")
        self.s3.create_bucket(Bucket=BUCKET)

    def client(self, service: str) -> Any:
        """Return a client of another of its services."""
        environment = self.aws.environment
        return boto3.client(
            service,  # type: ignore[call-overload]
            endpoint_url=self.aws.endpoint_url,
            region_name=environment["AWS_REGION"],
            aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        )

    def artifact(self, **behaviour: object) -> str:
        """Upload a model of the stand-in server and return its URL."""
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
        **behaviour: object,
    ) -> str:
        """Create a model and an endpoint configuration of one name, and return it."""
        name = f"config-{uuid.uuid4().hex[:8]}"
        url = artifact or self.artifact(**behaviour)
        environment = {"MODEL_NAME": name, "MODEL_VERSION": "1", "MODEL_SHA256": "ab" * 32}
        self.sagemaker.create_model(
            ModelName=name,
            ExecutionRoleArn=ROLE,
            EnableNetworkIsolation=isolated,
            PrimaryContainer={"Image": image, "ModelDataUrl": url, "Environment": environment},
        )
        variant: Any = {"VariantName": "champion", "ModelName": name}
        if serverless:
            variant["ServerlessConfig"] = {"MemorySizeInMB": 1024, "MaxConcurrency": 5}
        else:
            variant |= {"InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
        self.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
        return name

    def endpoint(self, config: str) -> str:
        """Create an endpoint and return its name once it serves."""
        name = f"endpoint-{uuid.uuid4().hex[:8]}"
        self.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config)
        self.wait(name)
        return name

    def failed_endpoint(self, config: str) -> str:
        """Create an endpoint that does not come up, and return the reason that it gives."""
        name = f"failed-{uuid.uuid4().hex[:8]}"
        self.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config)
        with pytest.raises(WaiterError, match="Waiter EndpointInService failed"):
            self.wait(name)
        described = self.sagemaker.describe_endpoint(EndpointName=name)
        assert described["EndpointStatus"] == "Failed"
        return described["FailureReason"]

    def wait(self, endpoint: str) -> None:
        """Wait with boto3's own waiter until the endpoint serves."""
        self.sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=endpoint, WaiterConfig=AT_ONCE)

    def delete(self, endpoint: str) -> None:
        """Delete an endpoint and wait until it is gone."""
        self.sagemaker.delete_endpoint(EndpointName=endpoint)
        self.sagemaker.get_waiter("endpoint_deleted").wait(EndpointName=endpoint, WaiterConfig=AT_ONCE)

    def ask(self, endpoint: str, body: bytes = b"image") -> dict[str, Any]:
        """Invoke an endpoint and return its answer's JSON."""
        answer = self.runtime.invoke_endpoint(EndpointName=endpoint, Body=body)
        parsed: dict[str, Any] = json.loads(answer["Body"].read())
        return parsed


def archive(name: str, content: bytes, *, kind: bytes = tarfile.REGTYPE, target: str = "") -> bytes:
    """Return a gzipped tar archive of one member; `target` is what a link points at."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as members:
        member = tarfile.TarInfo(name)
        member.type, member.linkname, member.size = kind, target, len(content)
        members.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def wait_for(condition: Callable[[], object], *, timeout_s: float = 15) -> None:
    """Return once a condition holds, or fail."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not become so in time"
        time.sleep(0.05)
