"""The registry stack: where images and model artifacts are kept. Deployed first; it needs no release."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra import names
from infra.constructs.capture_bucket import CaptureBucket
from infra.constructs.environment_key import EnvironmentKey
from infra.constructs.image_repository import ImageRepository
from infra.constructs.model_bucket import ModelBucket
from infra.settings.hosting import RealTime
from infra.stacks.base import EnvironmentStack

if TYPE_CHECKING:
    from aws_cdk import aws_kms as kms
    from constructs import Construct

    from infra.config import Settings


class RegistryStack(EnvironmentStack):
    """The ECR repository and who publishes to it, the model bucket, and what is optional: key, captures."""

    def __init__(self, scope: Construct, id_: str, *, settings: Settings) -> None:
        super().__init__(
            scope, id_, settings=settings, description="tumor-detector: serving images and model artifacts"
        )
        key = self._add_key(settings) if settings.customer_key else None
        images = ImageRepository(
            self,
            "Images",
            name=names.repository(settings.environment),
            publishing_role_name=names.image_publishing_role(settings.environment),
            key=key,
            retain=settings.retain_data,
        )
        models = ModelBucket(
            self,
            "Models",
            name=names.bucket(settings.environment, account=self.account, region=settings.region),
            key=key,
            retain=settings.retain_data,
        )
        self._add_capture_bucket(settings, key)
        self.add_output("RepositoryName", images.repository.repository_name, "Holds the serving images")
        self.add_output("RepositoryUri", images.repository.repository_uri, "The same, as docker names it")
        self.add_output("BucketName", models.bucket.bucket_name, "Holds the model artifacts by their hash")

    def _add_key(self, settings: Settings) -> kms.IKey:
        return EnvironmentKey(
            self, "EnvironmentKey", environment=settings.environment, retain=settings.retain_data
        ).key

    def _add_capture_bucket(self, settings: Settings, key: kms.IKey | None) -> None:
        capture = settings.hosting.data_capture if isinstance(settings.hosting, RealTime) else None
        if capture is None:
            return
        captured = CaptureBucket(
            self,
            "Captured",
            name=names.capture_bucket(settings.environment, account=self.account, region=settings.region),
            expire_days=capture.expire_days,
            key=key,
            retain=settings.retain_data,
        )
        self.add_output("CaptureBucketName", captured.bucket.bucket_name, "Holds captured answers")
