"""The registry stack: where images, artifacts and logs are kept. Deployed first; it needs no release."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import aws_cdk as cdk

from infra import names
from infra.constructs.logs import log_group
from infra.constructs.storage.environment_key import EnvironmentKey, LogsUnderKey
from infra.constructs.storage.image_repository import ImageRepository
from infra.constructs.storage.private_bucket import PrivateBucket
from infra.constructs.training_pipeline import TrainingPipeline
from infra.stacks.base import EnvironmentStack

if TYPE_CHECKING:
    from infra.config import Settings


class RegistryStack(EnvironmentStack):
    """The ECR repository with its publishing role, the model bucket; optionally a key, and further buckets.

    A pipeline that trains is here too, since it comes before any release.

    Also the endpoint's log groups, one for each mode: in the endpoint's stack, the roll-back of a failed
    first deployment would delete the log that says why it failed.
    """

    def __init__(self, app: cdk.App, *, settings: Settings) -> None:
        super().__init__(app, "registry", settings=settings, description="serving images and model artifacts")
        environment, retain = settings.environment, settings.retain_data
        key = None
        if settings.customer_key:
            key = EnvironmentKey(self, "EnvironmentKey", environment=environment, retain=retain).key
            cdk.Aspects.of(self).add(LogsUnderKey(key))
        for endpoint in names.endpoints(environment):
            log_group(
                self,
                f"Logs-{endpoint}",
                retention_days=settings.log_retention_days,
                name=names.endpoint_log_group(endpoint),
            )
        images = ImageRepository(self, "Images", settings=settings, key=key)
        place = {"account": self.account, "region": settings.region}
        private_bucket = partial(PrivateBucket, self, key=key, retain=retain)
        models = private_bucket("Models", name=names.bucket(environment, **place))
        if capture := settings.data_capture:
            name = names.capture_bucket(environment, **place)
            captured = private_bucket("Captured", name=name, expire_days=capture.expire_days)
            self.add_output("CaptureBucketName", captured.bucket.bucket_name, "Holds captured answers")
        if settings.feedback:
            name = names.label_bucket(environment, **place)
            labels = private_bucket("Labels", name=name, expire_days=settings.feedback.expire_days)
            self.add_output("LabelBucketName", labels.bucket.bucket_name, "Holds what callers said")
        if settings.batch:
            name = names.batch_bucket(environment, **place)
            batch = private_bucket("Batch", name=name, expire_days=settings.batch.expire_days)
            self.add_output("BatchBucketName", batch.bucket.bucket_name, "Holds batches and their answers")
        if hosting := settings.asynchronous:
            name = names.async_bucket(environment, **place)
            later = private_bucket("Async", name=name, expire_days=hosting.expire_days, takes_uploads=True)
            self.add_output("AsyncBucketName", later.bucket.bucket_name, "Holds images and later answers")
        if training := settings.training:
            name = names.training_bucket(environment, **place)
            bucket = private_bucket("Training", name=name, expire_days=training.expire_days)
            pipeline = names.training_pipeline(environment)
            TrainingPipeline(self, "Pipeline", name=pipeline, training=training, bucket=name, key=key)
            self.add_output("TrainingBucketName", bucket.bucket.bucket_name, "Holds what trainings get")
        self.add_output("RepositoryName", images.repository.repository_name, "Holds the serving images")
        self.add_output("RepositoryUri", images.repository.repository_uri, "URI of the image repository")
        self.add_output("BucketName", models.bucket.bucket_name, "Holds the model artifacts by their hash")
