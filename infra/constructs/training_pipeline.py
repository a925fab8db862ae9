"""The SageMaker pipeline that trains, its role, and that of its job."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from aws_cdk import aws_iam as iam
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from infra import names
from infra.config.training import OUTPUTS, RUNS
from infra.constructs.policies import PULL, WRITE_LOGS, acknowledge, allow, arn, in_bucket

if TYPE_CHECKING:
    from aws_cdk import aws_kms as kms

    from infra.config.training import Training

DEFINITION = Path(__file__).with_suffix(".json")  # without what differs between environments


class TrainingPipeline(Construct):
    """One training job: `scripts/train` with its gates inside, which registers its version in MLflow.

    An execution's parameters are the prefix of what `training_job/pipeline.py` uploaded, and options of
    `scripts/train`. **Unverified on AWS**: that the job starts so, and that these permissions suffice.
    """

    def __init__(
        self, scope: Construct, id_: str, *, name: str, training: Training, bucket: str,
        key: kms.IKey | None,
    ) -> None:  # fmt: skip
        super().__init__(scope, id_)
        training_role = self._training_role(training, bucket, key)
        role = self._role(training_role)
        definition = json.loads(DEFINITION.read_text())
        job = definition["Steps"][0]["Arguments"]
        job["AlgorithmSpecification"]["TrainingImage"] = training.image
        job["Environment"] = {"MLFLOW_TRACKING_URI": training.mlflow}
        job["OutputDataConfig"] = {"S3OutputPath": f"s3://{bucket}/{OUTPUTS}"}
        job["ResourceConfig"]["InstanceType"] = training.instance_type
        job["RoleArn"] = training_role.role_arn
        job["StoppingCondition"] = {"MaxRuntimeInSeconds": training.max_hours * 3600}
        body = json.dumps(definition, sort_keys=True, separators=(",", ":"))
        pipeline = sagemaker.CfnPipeline(
            self,
            "Pipeline",
            pipeline_name=name,
            pipeline_definition={"PipelineDefinitionBody": body},
            role_arn=role.role_arn,
        )
        pipeline.node.add_dependency(role)  # and so on its policy

    def _role(self, training_role: iam.Role) -> iam.Role:
        """Add the pipeline's role, which creates its jobs."""
        role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("sagemaker.amazonaws.com"))
        job = [f"sagemaker:{each}TrainingJob" for each in ("Create", "Describe", "Stop")]
        jobs = arn(self, "sagemaker", "training-job", "pipelines-*")
        allow(role, *job, "sagemaker:AddTags", on=jobs, wildcard="SageMaker names a pipeline's jobs.")
        passed = {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
        allow(role, "iam:PassRole", on=training_role.role_arn, conditions=passed)
        return role

    def _training_role(self, training: Training, bucket: str, key: kms.IKey | None) -> iam.Role:
        """Add the job's role.

        docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-roles.html, CreateTrainingJob API.
        """
        role = iam.Role(self, "JobRole", assumed_by=iam.ServicePrincipal("sagemaker.amazonaws.com"))
        objects = [in_bucket(self, bucket, f"{each}/*") for each in (RUNS, OUTPUTS)]
        below, each = {"StringLike": {"s3:prefix": f"{RUNS}/*"}}, "Each training has a prefix of its own."
        allow(role, "s3:ListBucket", on=in_bucket(self, bucket), conditions=below)
        allow(role, "s3:GetObject", on=objects[0], wildcard=each)
        allow(role, "s3:PutObject", on=objects[1], wildcard=each)
        if key:  # the bucket's
            allow(role, "kms:Decrypt", "kms:GenerateDataKey", on=key.key_arn)
        streams = arn(self, "logs", "log-group", f"{names.TRAINING_LOG_GROUP}:*", colon=True)
        wildcard = "It names streams after jobs."
        allow(role, "logs:CreateLogGroup", *WRITE_LOGS, on=streams, wildcard=wildcard)
        registry, _, path = training.image.partition("/")
        account, _, _, region, *_ = registry.split(".")
        image = path.partition("@")[0].partition(":")[0]
        repository = arn(self, "ecr", "repository", image, region=region, account=account)
        allow(role, *PULL, on=repository)
        allow(role, "ecr:GetAuthorizationToken", on="*", wildcard="The action takes no resource.")
        allow_mlflow(role, training)
        return role


def allow_mlflow(role: iam.Role, training: Training) -> None:
    """Allow a role SageMaker's MLflow, where it is that which the settings name.

    docs.aws.amazon.com/sagemaker/latest/dg/mlflow-create-tracking-server-iam.html
    """
    if training.mlflow.startswith("arn:"):
        allow(role, "sagemaker-mlflow:*", on=training.mlflow)
        reason = "A training reads and writes runs, models and artifacts of this one server."
        acknowledge(role, "AwsSolutions-IAM5[Action::sagemaker-mlflow:*]", reason=reason)
