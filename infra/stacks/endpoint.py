"""The endpoint stack: the serving image and the released model, running on SageMaker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aws_cdk as cdk
from aws_cdk import aws_ecr_assets as ecr_assets

from infra import names
from infra.constructs.endpoint.model_endpoint import ModelEndpoint
from infra.constructs.endpoint.roles import BatchRole, ExecutionRole, PruningRole
from infra.constructs.monitoring.metrics import ContainerMetrics
from infra.constructs.policies import bucket_name
from infra.constructs.storage.environment_key import environment_key
from infra.paths import CONTAINER
from infra.stacks.base import EnvironmentStack

if TYPE_CHECKING:
    from infra.config import Settings
    from infra.release import Release


class EndpointStack(EnvironmentStack):
    """The image, pushed to the registry stack's repository, and the endpoint.

    `base_image` replaces the Dockerfile's default base image where that cannot be pulled.
    """

    def __init__(
        self,
        app: cdk.App,
        *,
        settings: Settings,
        release: Release,
        shadow: Release | None,
        base_image: str | None,
    ) -> None:
        super().__init__(
            app,
            "endpoint",
            settings=settings,
            description="the model behind a SageMaker endpoint",
            synthesizer=_pushing_to_our_repository(settings),
        )
        image = ecr_assets.DockerImageAsset(
            self,
            "Image",
            directory=str(CONTAINER),
            display_name="serving image",
            platform=ecr_assets.Platform.LINUX_AMD64,
            # SageMaker refuses OCI manifests. The type alone is not enough: with the containerd image store
            # buildx replaces it and keeps its settings (unverified on AWS).
            outputs=["type=docker,oci-mediatypes=false"],
            build_args={"BASE_IMAGE": base_image} if base_image else None,
        )
        endpoint_name = settings.endpoint_name
        key = environment_key(self, settings)
        endpoint = ModelEndpoint(
            self,
            "Endpoint",
            settings=settings,
            image_uri=image.image_uri,
            release=release,
            shadow=shadow,
            bucket=bucket_name(self, settings, "models"),
            role=ExecutionRole(self, "ExecutionRole", settings=settings, key=key).role,
            key=key,
            capture_url=f"s3://{bucket_name(self, settings, 'sample')}/{endpoint_name}",
        )
        PruningRole(self, "Pruning", settings=settings)
        if settings.batch:
            BatchRole(self, "BatchRole", settings=settings, key=key)
        if settings.monitoring:
            ContainerMetrics(self, "Phases", settings=settings)
        self.add_output("EndpointName", endpoint_name, "SageMaker endpoint that the gateway invokes")
        self.add_output("EndpointConfigName", endpoint.config_name, "Endpoint configuration of this release")
        self.add_output("ModelName", endpoint.model_name, "The SageMaker model of the release")
        self.add_output("ImageUri", image.image_uri, "The serving image, tagged by its content")


def _pushing_to_our_repository(settings: Settings) -> cdk.DefaultStackSynthesizer:
    """Return what makes `cdk deploy` push images to the registry stack's repository, not the bootstrap's."""
    role = names.role(settings.environment, "image-publishing", region=settings.region)
    return cdk.DefaultStackSynthesizer(
        qualifier=settings.bootstrap_qualifier,
        image_assets_repository_name=names.deployment(settings.environment),
        image_asset_publishing_role_arn=f"arn:${{AWS::Partition}}:iam::${{AWS::AccountId}}:role/{role}",
    )
