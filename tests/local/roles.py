"""The roles of an environment deployed to a laptop's AWS, and what becomes of one that may do less."""

from __future__ import annotations

import hashlib
import json
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
import requests
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from infra import release as releases
from tests.gateway.sagemaker import PREDICTION
from tests.infra.synthesis import RELEASES, as_list, synthesize
from tests.local.cloud import Cloud, archive
from tests.local.deployment import REGION, Deployment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.infra.synthesis import Assembly

# Whose policies are looked at: the stack of each role, how its logical id begins, which environments have it.
# Of these "full", every optional part at once, is only synthesized: a laptop captures nothing and has no VPC.
ROLES = {
    "model": ("endpoint", "ExecutionRole", ("local", "prod", "full")),
    "lambda": ("gateway", "FrontRole", ("local", "prod", "full")),
    "canary": ("sight", "GoldenCanaryRole", ("prod", "full")),
}
DEPLOYED = ("local", "prod")
LAYER = b"a layer of the image"


@dataclass(frozen=True)
class Roles:
    """An environment's stacks, and what happens when one of their roles may do less."""

    deployment: Deployment
    image: str

    @property
    def environment(self) -> str:
        return self.deployment.assembly.environment

    @property
    def artifact(self) -> dict[str, str]:
        """Where the released artifact is, as S3's API names it."""
        sha256 = releases.load(RELEASES / f"{self.environment}.json").model.sha256
        bucket = self.deployment.outputs("registry")["BucketName"]
        return {"Bucket": bucket, "Key": releases.artifact_key(sha256)}

    def name(self, role: str) -> str:
        stack, prefix, _ = ROLES[role]
        described = self.deployment.cloud.stacks.describe_stack_resources(
            StackName=self.deployment.name(stack)
        )
        (found,) = [
            each["PhysicalResourceId"]
            for each in described["StackResources"]
            if each["ResourceType"] == "AWS::IAM::Role" and each["LogicalResourceId"].startswith(prefix)
        ]
        return found

    @contextmanager
    def without(self, role: str, action: str) -> Iterator[None]:
        """Take an action out of a role's policy, and put it back."""
        iam, name = self.deployment.client("iam"), self.name(role)
        (policy,) = iam.list_role_policies(RoleName=name)["PolicyNames"]
        whole = iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
        kept = [
            {**statement, "Action": actions}
            for statement in whole["Statement"]
            if (actions := [each for each in as_list(statement["Action"]) if each != action])
        ]
        assert kept != [{**each, "Action": as_list(each["Action"])} for each in whole["Statement"]]
        iam.put_role_policy(
            RoleName=name, PolicyName=policy, PolicyDocument=json.dumps({**whole, "Statement": kept})
        )
        try:
            yield
        finally:
            iam.put_role_policy(RoleName=name, PolicyName=policy, PolicyDocument=json.dumps(whole))

    def client(self, role: str, service: str) -> Any:
        """Return a client that acts as a role."""
        sts = self.deployment.client("sts")
        arn = self.deployment.client("iam").get_role(RoleName=self.name(role))["Role"]["Arn"]
        taken = sts.assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"]
        return boto3.client(
            service,  # type: ignore[call-overload]
            endpoint_url=self.deployment.cloud.aws.endpoint_url,
            region_name=REGION,
            aws_access_key_id=taken["AccessKeyId"],
            aws_secret_access_key=taken["SecretAccessKey"],
            aws_session_token=taken["SessionToken"],
        )

    def ask(self, method: str, path: str, body: bytes = b"") -> requests.Response:
        """Call the gateway, signed as prod wants it."""
        outputs = self.deployment.outputs("gateway")
        url = self.deployment.cloud.aws.gateway_url(outputs["ApiId"], outputs["StageName"]) + path
        request = AWSRequest(method=method, url=url, data=body, headers={"Content-Type": "image/png"})
        account = self.deployment.cloud.aws.account
        SigV4Auth(Credentials(account, "laptop"), "execute-api", REGION).add_auth(request)
        return requests.request(method, url, data=body, headers=dict(request.headers), timeout=30)

    def logged(self, function: str) -> list[str]:
        """Every line in the log of a Lambda."""
        config = self.deployment.cloud.functions.get_function(FunctionName=function)["Configuration"]
        group = config["LoggingConfig"]["LogGroup"]
        pages = self.deployment.client("logs").get_paginator("filter_log_events")
        return [event["message"] for page in pages.paginate(logGroupName=group) for event in page["events"]]


def allowed(assembly: Assembly, role: str) -> set[str]:
    """Every action in the statements of a role's template."""
    stack, prefix, _ = ROLES[role]
    return {
        action
        for id_, statement in assembly.template(stack).statements()
        if id_.startswith(prefix)
        for action in as_list(statement["Action"])
    }


def deploy(cloud: Cloud, environment: str, folder: Path, stacks: tuple[str, ...]) -> Roles:
    """Deploy an environment with an image, a stand-in model and, beside the usual stacks, those named."""
    record = RELEASES / f"{environment}.json"
    assembly = synthesize(environment, folder / "out", release=record, environments=folder)
    deployment = Deployment(cloud, assembly)
    deployment.bootstrap()
    deployment.deploy("registry")
    (image,) = assembly.assets("endpoint")["dockerImages"].values()
    (destination,) = image["destinations"].values()
    _push(cloud, destination["repositoryName"], tag=destination["imageTag"])
    cloud.s3.put_object(
        Bucket=deployment.outputs("registry")["BucketName"],
        Key=releases.artifact_key(releases.load(record).model.sha256),
        Body=archive("behaviour.json", json.dumps({"adds": PREDICTION}).encode()),
    )
    for stack in ("endpoint", "gateway", *stacks):
        deployment.deploy(stack)
    return Roles(deployment, image=destination["repositoryName"])


def _push(cloud: Cloud, repository: str, *, tag: str) -> None:
    """Put an image of one layer under a tag."""
    layer = {
        "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
        "size": len(LAYER),
        "digest": f"sha256:{hashlib.sha256(LAYER).hexdigest()}",
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "layers": [layer],
    }
    cloud.ecr.put_image(repositoryName=repository, imageTag=tag, imageManifest=json.dumps(manifest))
