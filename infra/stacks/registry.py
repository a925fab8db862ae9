"""The registry stack: where images and model artifacts are kept. Deployed first; it needs no release."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra import names
from infra.constructs.image_repository import ImageRepository
from infra.constructs.model_bucket import ModelBucket
from infra.stacks.base import EnvironmentStack

if TYPE_CHECKING:
    from constructs import Construct

    from infra.config import Settings


class RegistryStack(EnvironmentStack):
    """The ECR repository, the role that publishes to it, and the model bucket."""

    def __init__(self, scope: Construct, id_: str, *, settings: Settings) -> None:
        super().__init__(
            scope, id_, settings=settings, description="tumor-detector: serving images and model artifacts"
        )
        images = ImageRepository(
            self,
            "Images",
            name=names.repository(settings.environment),
            publishing_role_name=names.image_publishing_role(settings.environment),
            retain=settings.retain_data,
        )
        models = ModelBucket(
            self,
            "Models",
            name=names.bucket(settings.environment, account=self.account, region=settings.region),
            retain=settings.retain_data,
        )
        self.add_output("RepositoryName", images.repository.repository_name, "Holds the serving images")
        self.add_output("RepositoryUri", images.repository.repository_uri, "The same, as docker names it")
        self.add_output("BucketName", models.bucket.bucket_name, "Holds the model artifacts by their hash")
