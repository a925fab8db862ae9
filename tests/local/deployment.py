"""An environment's stacks on the laptop, without the CDK CLI."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import WaiterError

from tests.local.cloud import AT_ONCE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.infra.synthesis import Assembly
    from tests.local.cloud import Cloud

REGION = "us-east-1"


class Deployment:
    """An environment's stacks on the laptop, deployed as the CDK CLI would without its images."""

    def __init__(self, cloud: Cloud, assembly: Assembly) -> None:
        self.cloud = cloud
        self.assembly = assembly

    def client(self, service: str) -> Any:
        environment = self.cloud.aws.environment
        return boto3.client(
            service,  # type: ignore[call-overload]
            endpoint_url=self.cloud.aws.endpoint_url,
            region_name=REGION,
            aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        )

    def bootstrap(self) -> None:
        self.client("ssm").put_parameter(
            Name="/cdk-bootstrap/hnb659fds/version", Value="30", Type="String", Overwrite=True
        )

    def deploy(self, stack: str) -> None:
        self._publish(stack)
        name = self.name(stack)
        self.cloud.stacks.create_stack(
            StackName=name,
            TemplateBody=self.assembly.template(stack).path.read_text(),
            Capabilities=["CAPABILITY_NAMED_IAM"],
        )
        try:
            self.cloud.stacks.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig=AT_ONCE)
        except WaiterError:
            events = self.cloud.stacks.describe_stack_events(StackName=name)["StackEvents"]
            failed = [e for e in events if e["ResourceStatus"].endswith("_FAILED")]
            pytest.fail(
                "\n".join(f"{e['LogicalResourceId']}: {e.get('ResourceStatusReason')}" for e in failed)
            )

    def delete(self, stack: str) -> None:
        self.cloud.stacks.delete_stack(StackName=self.name(stack))
        waiter = self.cloud.stacks.get_waiter("stack_delete_complete")
        waiter.wait(StackName=self.name(stack), WaiterConfig=AT_ONCE)

    def name(self, stack: str) -> str:
        return f"tumor-detector-{self.assembly.environment}-{stack}"

    def outputs(self, stack: str) -> dict[str, str]:
        (described,) = self.cloud.stacks.describe_stacks(StackName=self.name(stack))["Stacks"]
        return {each["OutputKey"]: each["OutputValue"] for each in described["Outputs"]}

    def resources(self, stack: str) -> dict[str, str]:
        """Physical ids by type."""
        found = self.cloud.stacks.describe_stack_resources(StackName=self.name(stack))["StackResources"]
        return {each["ResourceType"]: each["PhysicalResourceId"] for each in found}

    def _publish(self, stack: str) -> None:
        for file in self.assembly.assets(stack).get("files", {}).values():
            source = self.assembly.folder / file["source"]["path"]
            if not source.is_dir():
                continue
            (destination,) = file["destinations"].values()
            bucket = destination["bucketName"].replace("${AWS::AccountId}", "000000000000")
            self.cloud.s3.create_bucket(Bucket=bucket)
            self.cloud.s3.put_object(Bucket=bucket, Key=destination["objectKey"], Body=zipped(source))


def zipped(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as members:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            members.write(path, path.relative_to(folder))
    return buffer.getvalue()
