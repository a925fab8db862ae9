"""Stacks in local AWS without the CDK CLI: an environment's, its gateway's alone, or one endpoint's."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import WaiterError

from infra import names
from infra import release as releases
from infra.local_aws import ACCOUNT
from tests.emulator.cloud import IMAGE, ROLE, Cloud, archive, zipped
from tests.infra.synthesis import FULL, RELEASE, Assembly, record_for, synthesize, synthesize_gateway

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mypy_boto3_ecr import ECRClient

    from infra.config import Settings

REGION = "us-east-1"
CONDITION: dict[str, Any] = {  # of the alarms that tests create
    "ComparisonOperator": "GreaterThanThreshold",
    "EvaluationPeriods": 1,
    "TreatMissingData": "notBreaching",
}
MANIFEST = {
    "schemaVersion": 2,
    "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
    "layers": [
        {
            "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
            "size": 1,
            "digest": f"sha256:{'0' * 64}",
        }
    ],
}


def dimensions(endpoint: str, variant: str = "champion") -> list[dict[str, str]]:
    """Return the dimensions of SageMaker's metrics of a variant."""
    return [{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": variant}]


class Deployment:
    """An environment's stacks, deployed as the CDK CLI would, with the fake server for a model."""

    def __init__(self, cloud: Cloud, assembly: Assembly) -> None:
        self.cloud = cloud
        self.assembly = assembly
        mark_bootstrapped(cloud)

    def client(self, service: str) -> Any:
        return self.cloud.client(service)

    def deploy(self, stack: str) -> None:
        publish(self.cloud, self.assembly.assets(stack).get("files", {}), self.assembly.folder)
        try:
            self.cloud.create_stack(self.name(stack), self.assembly.template(stack).content)
        except WaiterError:
            pytest.fail(self.cloud.reasons(self.name(stack)))

    @property
    def artifact(self) -> dict[str, str]:
        """Where the released artifact belongs, in the terms of S3's API."""
        sha256 = releases.load(RELEASE).model.sha256
        return {"Bucket": self.outputs("registry")["BucketName"], "Key": releases.artifact_key(sha256)}

    def deploy_all(self, registry: str, *others: str, **behaviour: object) -> None:
        """Deploy stacks in order, after the first one with an image and a model of the fake server."""
        self.deploy(registry)
        publish_image(self.cloud.ecr, self.assembly)
        self.publish_model(**behaviour)
        for stack in others:
            self.deploy(stack)

    def publish_model(self, **behaviour: object) -> None:
        body = archive("behaviour.json", json.dumps(behaviour).encode())
        self.cloud.s3.put_object(**self.artifact, Body=body)  # type: ignore[arg-type]

    def delete(self, stack: str) -> None:
        self.cloud.delete_stack(self.name(stack))

    def name(self, stack: str) -> str:
        return f"tumor-detector-{self.assembly.environment}-{stack}"

    def outputs(self, stack: str) -> dict[str, str]:
        return self.cloud.outputs(self.name(stack))

    @property
    def url(self) -> str:
        """URL of the gateway's stage."""
        return self.cloud.gateway_url(self.outputs("gateway"))

    def resources(self, stack: str) -> dict[str, str]:
        """Physical ids by type."""
        found = self.cloud.stacks.describe_stack_resources(StackName=self.name(stack))["StackResources"]
        return {each["ResourceType"]: each["PhysicalResourceId"] for each in found}


def full_deployment(cloud: Cloud, folder: Path) -> Deployment:
    """Synthesize the environment that has every optional part for the emulator's account and a region."""
    written = FULL.replace('"123456789012"', f'"{ACCOUNT}"')
    (folder / "full.toml").write_text(written.replace("eu-west-1", cloud.region or cloud.aws.region))
    record = record_for("full", folder)
    return Deployment(cloud, synthesize("full", folder / "out", release=record, environments=folder))


def mark_bootstrapped(cloud: Cloud) -> None:
    """Set the parameter that every template of the CDK reads."""
    cloud.client("ssm").put_parameter(
        Name="/cdk-bootstrap/hnb659fds/version", Value="30", Type="String", Overwrite=True
    )


def publish_image(ecr: ECRClient, assembly: Assembly) -> None:
    """Put a manifest where the CDK would push the image, which it then does not build."""
    (image,) = assembly.assets("endpoint")["dockerImages"].values()
    (destination,) = image["destinations"].values()
    where = {"repositoryName": destination["repositoryName"], "imageTag": destination["imageTag"]}
    ecr.put_image(**where, imageManifest=json.dumps(MANIFEST))


def publish(cloud: Cloud, assets: dict[str, Any], folder: Path) -> None:
    """Put a stack's zipped assets where its template expects them."""
    bucket = f"cdk-hnb659fds-assets-000000000000-{cloud.s3.meta.region_name}"  # the bootstrap's
    cloud.create_bucket(bucket)
    for asset in assets.values():
        if asset["source"]["packaging"] == "zip":
            [destination] = asset["destinations"].values()
            source = folder / asset["source"]["path"]
            paths = sorted(path for path in source.rglob("*") if path.is_file())
            body = zipped({str(path.relative_to(source)): path.read_bytes() for path in paths})
            cloud.s3.put_object(Bucket=bucket, Key=destination["objectKey"], Body=body)


def create_gateway(cloud: Cloud, settings: Settings, folder: Path) -> dict[str, str]:
    """Synthesize and deploy the gateway's stack alone, in front of an endpoint; return its outputs."""
    template = synthesize_gateway(settings, folder)
    assembly = Assembly(settings.environment, folder)
    mark_bootstrapped(cloud)
    publish(cloud, assembly.assets("gateway")["files"], folder)
    return cloud.create_stack(names.stack(settings.environment, "gateway"), template.content)


class EndpointStack:
    """A stack of one model, one endpoint configuration and one endpoint."""

    def __init__(self, cloud: Cloud, environment: str | None = None) -> None:
        self.cloud = cloud
        self.name = names.stack(environment, "endpoint") if environment else f"stack-{uuid.uuid4().hex[:8]}"
        self.tags = deployment_tags(environment) if environment else []
        self.endpoint = f"{self.name}-endpoint"

    def template(self, *, variant: Mapping[str, object] | None = None, **model: Any) -> dict[str, Any]:
        """Return the template with a model of the fake server and changes of its variant."""
        container = {"Image": IMAGE, "ModelDataUrl": self.cloud.artifact(**model)}
        model_name = {"Fn::GetAtt": ["Model", "ModelName"]}
        config_name = {"Fn::GetAtt": ["Config", "EndpointConfigName"]}
        variants = [
            {"VariantName": "champion", "ModelName": model_name, "InstanceType": "ml.m5.large"}
            | {"InitialInstanceCount": 2, **(variant or {})}
        ]
        resources = {
            "Model": resource("SageMaker::Model", ExecutionRoleArn=ROLE, PrimaryContainer=container),
            "Config": resource("SageMaker::EndpointConfig", ProductionVariants=variants),
            "Endpoint": resource(
                "SageMaker::Endpoint", EndpointName=self.endpoint, EndpointConfigName=config_name
            ),
            "Target": resource(
                "ApplicationAutoScaling::ScalableTarget",
                ResourceId={"Fn::Sub": "endpoint/${Endpoint.EndpointName}/variant/champion"},
                ScalableDimension="sagemaker:variant:DesiredInstanceCount",
                ServiceNamespace="sagemaker",
                MinCapacity=1,
                MaxCapacity=2,
            ),
        }
        outputs = {"Model": {"Ref": "Model"}, "ModelName": model_name, "ConfigName": config_name}
        return {"Resources": resources, "Outputs": {key: {"Value": each} for key, each in outputs.items()}}

    def create(self, **model: Any) -> None:
        self.cloud.create_stack(self.name, self.template(**model), Tags=self.tags)

    def update(self, **model: Any) -> None:
        self.cloud.update_stack(self.name, self.template(**model))

    def delete(self) -> None:
        self.cloud.delete_stack(self.name)

    @property
    def status(self) -> str:
        return self.cloud.stack_status(self.name)

    @property
    def answer(self) -> str:
        """What the endpoint's model answers."""
        return str(self.cloud.invoke(self.endpoint)["answer"])

    def outputs(self) -> dict[str, str]:
        return self.cloud.outputs(self.name)

    def reasons(self) -> str:
        return self.cloud.reasons(self.name)

    def records(self) -> set[str]:
        """The names of this stack's models and endpoint configurations."""
        sagemaker = self.cloud.sagemaker
        models = sagemaker.list_models(NameContains=self.name)["Models"]
        configs = sagemaker.list_endpoint_configs(NameContains=self.name)["EndpointConfigs"]
        return {each["ModelName"] for each in models} | {each["EndpointConfigName"] for each in configs}


def deployment_tags(environment: str) -> list[dict[str, str]]:
    """Return the tags of what an environment deploys."""
    return [{"Key": "deployment", "Value": names.deployment(environment)}]


def resource(kind: str, **properties: object) -> dict[str, Any]:
    """Return a template's resource; `kind` is its type without ``AWS::``."""
    return {"Type": f"AWS::{kind}", "Properties": properties}
