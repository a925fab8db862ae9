"""SageMaker's control plane: what its API and CloudFormation have in common."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from infra.emulator.ministack_patches.iam import AccessDenied
from infra.emulator.sagemaker import async_inference
from infra.emulator.sagemaker.async_inference import AsyncEndpoint
from infra.emulator.sagemaker.endpoints import Endpoint, in_background
from infra.emulator.sagemaker.execution_role import ExecutionRole
from infra.emulator.sagemaker.pipelines import EXECUTION, PIPELINE, Execution
from infra.emulator.sagemaker.resources import (
    ENDPOINT,
    ENDPOINT_CONFIG,
    MODEL,
    Resource,
    Store,
    invalid,
    production_variant,
    resolve,
)
from infra.emulator.sagemaker.transform import TRANSFORM_JOB, TransformJob
from infra.emulator.validation.shapes import InvalidRequest

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator

    from infra.emulator.sagemaker.launcher import Launcher
    from infra.emulator.validation.rules import Json

# What SageMaker does not allow in the model of a serverless variant:
# https://docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints.html#serverless-endpoints-how-it-works-exclusions
_NOT_SERVERLESS_MODEL = ("VpcConfig", "EnableNetworkIsolation")
_OCI = "application/vnd.oci."  # media types of OCI's manifests and indexes
# The defaults of new configurations, in botocore's MetricsConfig.
_METRICS = {"EnableDetailedObservability": True, "EnableEnhancedMetrics": False}


class SageMaker:
    """Models, endpoint configurations and endpoints of the emulator's one account.

    Requests were checked against botocore's model of the API before they get here.
    """

    def __init__(self, *, launcher: Launcher, hide_rollbacks: bool) -> None:
        self.models: Store[Resource] = Store(MODEL)
        self.configs: Store[Resource] = Store(ENDPOINT_CONFIG)
        self.endpoints: Store[Endpoint] = Store(ENDPOINT)
        self.transform_jobs: Store[TransformJob] = Store(TRANSFORM_JOB)
        self.pipelines: Store[Resource] = Store(PIPELINE)
        self.executions: Store[Execution] = Store(EXECUTION)
        self.hide_rollbacks = hide_rollbacks
        self._launcher = launcher

    def tags(self) -> Iterator[tuple[str, object]]:
        """Yield the ARN and the tags of each model, endpoint configuration and transform job."""
        for each in (*self.models.all(), *self.configs.all(), *self.transform_jobs.all()):
            yield each.arn, each.properties.get("Tags", [])

    def create_model(self, request: Json) -> Resource:
        """Store a model whose artifact exists and whose image is no OCI image."""
        container = request.get("PrimaryContainer", {})
        if "ExecutionRoleArn" not in request or not {"Image", "ModelDataUrl"} <= container.keys():
            raise invalid(
                "The emulated SageMaker runs models with an ExecutionRoleArn and one container "
                "(PrimaryContainer), which has an Image and a ModelDataUrl."
            )
        image, url = container["Image"], container["ModelDataUrl"]
        try:
            execution = ExecutionRole(request["ExecutionRoleArn"], port=self._launcher.port)
            found = execution.object_exists(url)
        except AccessDenied as error:
            raise invalid(f"Could not access model data at {url}. {error}") from error
        if not found:
            raise invalid(f"Could not find model data at {url}.")
        held = None
        with suppress(AccessDenied):  # an endpoint that the role cannot start says so itself
            held = execution.find_image(image)
        if held and held.media_type.startswith(_OCI):
            # The words: github.com/aws/amazon-sagemaker-feedback/issues/180
            raise invalid(
                f"Unsupported manifest media type {held.media_type} for image {image}. "
                "Ensure that valid manifest media type is used for specified image."
            )
        return self.models.add(Resource(MODEL, request))

    def create_endpoint_config(self, request: Json) -> Resource:
        """Store an endpoint configuration whose model exists."""
        variant = production_variant(request)
        model = self.models.get(variant["ModelName"]).properties
        for shadow in request.get("ShadowProductionVariants") or []:
            self.models.get(shadow["ModelName"])
        if variant.get("ServerlessConfig"):
            refused = [name for name in _NOT_SERVERLESS_MODEL if model.get(name)]
            if refused:
                raise invalid(f"A serverless variant does not support {', '.join(refused)}.")
        metrics = {**_METRICS, **request.get("MetricsConfig", {})}
        return self.configs.add(Resource(ENDPOINT_CONFIG, {**request, "MetricsConfig": metrics}))

    def create_endpoint(self, request: Json) -> Endpoint:
        """Begin to bring an endpoint up."""
        config = self.configs.get(request["EndpointConfigName"])
        variant = resolve(config, self.models)
        kind = AsyncEndpoint if async_inference.CONFIG in config.properties else Endpoint
        endpoint = self.endpoints.add(kind(request, config, launcher=self._launcher))
        try:
            endpoint.deploy(config, variant, request.get("DeploymentConfig", {}))
        except InvalidRequest:
            self.endpoints.remove(endpoint.name)
            raise
        return endpoint

    def update_endpoint(self, request: Json) -> Endpoint:
        """Begin to move an endpoint to another configuration."""
        endpoint = self._changeable(request)
        config = self.configs.get(request["EndpointConfigName"])
        if endpoint.scalable:
            _refuse_another_instance_type(endpoint.config, config)
        retained = endpoint.deployment_config if request.get("RetainDeploymentConfig") else {}
        if isinstance(endpoint, AsyncEndpoint) != (async_inference.CONFIG in config.properties):
            raise invalid(f'Cannot update endpoint "{endpoint.arn}" to or from asynchronous inference.')
        endpoint.deploy(config, resolve(config, self.models), request.get("DeploymentConfig", retained))
        if not request.get("RetainAllVariantProperties"):
            endpoint.instance_count = None
        return endpoint

    def update_capacity(self, request: Json) -> Endpoint:
        """Record the number of instances, as auto scaling sets it."""
        endpoint = self._changeable(request)
        resolve(endpoint.config, self.models)  # a new instance needs the model
        (desired,) = request["DesiredWeightsAndCapacities"]
        endpoint.instance_count = desired.get("DesiredInstanceCount")
        return endpoint

    def _changeable(self, request: Json) -> Endpoint:
        """Return an endpoint, or raise AWS's error if the configuration that it serves was deleted."""
        endpoint = self.endpoints.get(request["EndpointName"])
        self.configs.get(endpoint.config.name)
        return endpoint

    def create_transform_job(self, request: Json) -> TransformJob:
        """Begin a transform job of a model, with a name that no job has ever had."""
        job = TransformJob(request, self.models, launcher=self._launcher)
        try:
            self.transform_jobs.add(job)
        except InvalidRequest as error:
            unique = "Job name must be unique within an AWS account and region"
            raise InvalidRequest("ResourceInUse", f"{unique}: {error.message}") from error
        in_background(job.run)
        return job

    def start_pipeline(self, request: Json) -> Execution:
        """Begin an execution of a pipeline."""
        pipeline = self.pipelines.get(request["PipelineName"])
        execution = self.executions.add(Execution(pipeline, request, launcher=self._launcher))
        in_background(execution.run)
        return execution

    def execution(self, request: Json) -> Execution:
        """Return the execution of a request, or raise AWS's error."""
        if found := self.executions.find(request["PipelineExecutionArn"]):
            return found
        raise InvalidRequest("ResourceNotFound", "The pipeline execution does not exist.")

    def delete_endpoint(self, name: str) -> threading.Thread:
        """Begin to delete an endpoint; join the thread to wait until it is gone."""
        return self.endpoints.get(name).retire(then=lambda: self.endpoints.remove(name))


def _refuse_another_instance_type(now: Resource, new: Resource) -> None:
    """Raise SageMaker's error for an update of a scalable target; its wording is unverified on AWS.

    docs.aws.amazon.com/sagemaker/latest/dg/endpoint-scaling-update.html
    """
    before, after = production_variant(now.properties), production_variant(new.properties)
    if any(before.get(member) != after.get(member) for member in ("VariantName", "InstanceType")):
        raise invalid(
            f'The variant(s) "[{before["VariantName"]}]" must be deregistered as a scalable target with AWS '
            "Auto Scaling before they can be removed or have their instance type updated."
        )
