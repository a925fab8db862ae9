"""The registry stack: where images, artifacts and logs are kept. Deployed first; it needs no release."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import aws_cdk as cdk

from infra import names
from infra.constructs.logs import log_group
from infra.constructs.policies import bucket_name
from infra.constructs.storage.environment_key import EnvironmentKey, LogsUnderKey
from infra.constructs.storage.image_repository import ImageRepository
from infra.constructs.storage.private_bucket import PrivateBucket
from infra.constructs.training_pipeline import TrainingPipeline
from infra.stacks.base import EnvironmentStack

if TYPE_CHECKING:
    from infra.config import Settings
    from infra.config.environment import Batch, Feedback
    from infra.config.hosting import Async, DataCapture
    from infra.config.training import Training

    Expiring = DataCapture | Feedback | Batch | Async | Training


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
        private_bucket = partial(PrivateBucket, self, key=key, retain=retain)
        models = private_bucket("Models", name=bucket_name(self, settings, "models"))
        further: tuple[tuple[names.Holds, str, Expiring | None, str, str], ...] = (
            ("sample", "Captured", settings.data_capture, "Capture", "captured answers"),
            ("labels", "Labels", settings.feedback, "Label", "what callers said"),
            ("batch", "Batch", settings.batch, "Batch", "batches and their answers"),
            ("async", "Async", settings.asynchronous, "Async", "images and later answers"),
            ("train", "Training", settings.training, "Training", "what trainings get"),
        )
        for holds, id_, declared, output, content in further:
            if declared:
                name, uploads = bucket_name(self, settings, holds), holds == "async"
                days = declared.expire_days
                bucket = private_bucket(id_, name=name, expire_days=days, takes_uploads=uploads).bucket
                self.add_output(f"{output}BucketName", bucket.bucket_name, f"Holds {content}")
        if training := settings.training:
            name, pipeline = bucket_name(self, settings, "train"), names.training_pipeline(environment)
            TrainingPipeline(self, "Pipeline", name=pipeline, training=training, bucket=name, key=key)
        self.add_output("RepositoryName", images.repository.repository_name, "Holds the serving images")
        self.add_output("RepositoryUri", images.repository.repository_uri, "URI of the image repository")
        self.add_output("BucketName", models.bucket.bucket_name, "Holds the model artifacts by their hash")
