"""The roles of the jobs that monitor and retrain, enforced: each permission is needed, no other is there."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from botocore.exceptions import ClientError

from infra import config, names
from infra.config.environment import Feedback, GitHub
from infra.config.hosting import DataCapture, RealTime
from infra.local_aws import ACCOUNT
from infra.release import artifact_key
from infra.stacks.delivery import DeliveryStack
from scripts.console import DeliveryError
from scripts.delivery import artifacts
from scripts.delivery.aws import stack_outputs
from scripts.monitoring.monitor import conclude, monitor, put_metrics
from scripts.retraining import feedback
from tests.e2e.production import REPOSITORY, assume_with_github_token
from tests.emulator.cloud import Cloud
from tests.emulator.deployment import REGION, mark_bootstrapped
from tests.emulator.feedback import log_answers, serve
from tests.emulator.production import without_each_permission
from tests.infra.synthesis import synthesize_stack
from tests.monitoring.served import NOW, SHA256, artifact, drawn, reference, rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from infra.config import Settings

pytestmark = pytest.mark.slow

IMAGES = 2 * feedback.LEAST
PLACE = {"account": ACCOUNT, "region": REGION}
# Where the emulator cannot tell: S3 answers 403 instead of 404 to who may not list.
# docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html, Permissions
DOCUMENTED = ("s3:ListBucket", f"arn:aws:s3:::{names.bucket('captured', 'models', **PLACE)}")


def monitored(settings: Settings) -> None:
    """Monitor as the workflow does."""
    report = monitor(settings, since=NOW - timedelta(days=1))
    put_metrics(report, settings.endpoint_name)
    assert (report.answers, conclude(report)) == (IMAGES, 4)
    assert report.models[0].accuracy
    assert report.models[0].accuracy.labelled == IMAGES


def retrained(settings: Settings) -> None:
    """Do what a retraining does on AWS: read what was labelled, and add an artifact."""
    content = os.urandom(8)
    sha256 = hashlib.sha256(content).hexdigest()
    artifacts.stored(sha256).parent.mkdir(parents=True)
    artifacts.stored(sha256).write_bytes(content)
    bucket = stack_outputs(names.stack(settings.environment, "registry"))["BucketName"]
    with feedback.collected(settings) as joined:
        assert len(joined.files) == IMAGES
    for _ in range(2):  # the second finds it there
        artifacts.ensure_uploaded(bucket, sha256=sha256)


@dataclass
class Job:
    """A scheduled job: what it does, and the role and the number of permissions with which it does that."""

    cloud: Cloud
    settings: Settings
    run: Callable[[Settings], None]
    role: str
    github_environment: str
    permissions: int

    def keys(self) -> dict[str, str]:
        subject = f"{REPOSITORY}:environment:{self.github_environment}"
        arn = f"arn:aws:iam::{ACCOUNT}:role/{self.role}"
        return assume_with_github_token(self.cloud.client("sts"), arn, subject=subject)

    def failure(self) -> str | None:
        """Run with the role's rights; return why that fails."""
        with self.cloud.alone(self.keys()):
            try:
                self.run(self.settings)
            except (ClientError, DeliveryError) as error:
                return str(error)
        return None


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with Cloud.started(tmp_path_factory.mktemp("aws")) as started:
        yield started


@pytest.fixture(scope="module")
def environments(aws: Cloud, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Settings]:
    """Two environments with their delivery stacks, whose answers are captured or only logged."""
    mark_bootstrapped(aws)
    return {name: deployed(aws, name, tmp_path_factory.mktemp(name)) for name in ("captured", "logged")}


def deployed(aws: Cloud, name: str, folder: Path) -> Settings:
    prod = config.load("prod")
    assert isinstance(prod.hosting, RealTime)
    capture = DataCapture(percent=100, expire_days=30, what=("input", "output"))
    hosting = replace(prod.hosting, data_capture=capture if name == "captured" else None)
    # An account holds one provider of GitHub's tokens.
    github = GitHub(repository=REPOSITORY, provider="own" if name == "captured" else "existing")
    own = replace(prod, environment=name, region=REGION, hosting=hosting, github=github)
    settings = replace(own, feedback=Feedback(expire_days=1))
    fill(aws, settings)
    stack = names.stack(name, "delivery")
    template = synthesize_stack(lambda app: DeliveryStack(app, settings=settings, github=github), folder)
    aws.create_stack(stack, template.content)
    return settings


def fill(aws: Cloud, settings: Settings) -> None:
    """Put answers, labels and the model's reference where the environment has them, under its key."""
    environment = settings.environment
    key = aws.client("kms").create_key()["KeyMetadata"]["Arn"]
    aws.client("ssm").put_parameter(Name=names.key_parameter(environment), Value=key, Type="String")
    default = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}}
    encryption: Any = {"Rules": [default]}
    kinds: tuple[names.Holds, ...] = ("models", "labels", "sample")
    models, *others = (names.bucket(environment, holds, **PLACE) for holds in kinds)
    for bucket in (models, *others):
        aws.create_bucket(bucket)
        aws.s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=encryption)
    trained = artifact(reference(drawn(400, np.random.default_rng(7))))
    aws.s3.put_object(Bucket=models, Key=artifact_key(SHA256), Body=trained)
    images = [(f"image {number}".encode(), number % 2 == 0) for number in range(IMAGES)]
    ids = serve(aws.s3, settings, images, account=ACCOUNT)
    topic = {"Any": {"Type": "AWS::SNS::Topic"}}
    registry = {"Resources": topic, "Outputs": {"BucketName": {"Value": models}}}
    aws.create_stack(names.stack(environment, "registry"), registry)
    gateway = names.stack(environment, "gateway")
    generated = {"LogGroupName": f"{gateway}-FrontLogs0A1B-c2D3"}  # by CloudFormation; ministack differs
    logs = {"Logs": {"Type": "AWS::Logs::LogGroup", "Properties": generated}}
    aws.create_stack(gateway, {"Resources": logs, "Outputs": {"LogGroupName": {"Value": {"Ref": "Logs"}}}})
    log_answers(aws, generated["LogGroupName"], rows(drawn(IMAGES, np.random.default_rng(3))), ids)


@pytest.fixture(params=["monitor", "monitor-logged", "retrain"])
def job(
    request: pytest.FixtureRequest, aws: Cloud, environments: dict[str, Settings],
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> Job:  # fmt: skip
    monkeypatch.setattr(feedback, "FOLDER", tmp_path / "feedback")
    monkeypatch.setattr(artifacts, "STORE", tmp_path / "artifacts")
    settings = environments["logged" if request.param == "monitor-logged" else "captured"]
    environment = settings.environment
    run, prefix, github, count = (
        (retrained, "GitHubRetrainRole", names.retraining(environment), 10)
        if request.param == "retrain"
        else (monitored, "GitHubMonitorRole", names.watch(environment), 8)
    )
    role = aws.role(names.stack(environment, "delivery"), prefix)
    return Job(aws, settings, run, role, github, count)


def test_with_its_policy_it_works_and_without_any_part_of_it_fails(job: Job) -> None:
    assert job.failure() is None
    tried, needless = 0, []
    for action, resource in without_each_permission(job.cloud.client("iam"), job.role):
        tried += 1
        reason = job.failure() or ""
        refused = re.search(f"not authorized to perform: {action}|Forbidden", reason)
        if not refused and (action, resource) != DOCUMENTED:
            needless.append((action, resource, reason))
    assert tried == job.permissions
    assert needless == []


METRIC = [{"MetricName": "any", "Value": 1.0}]
ROLE = f"arn:aws:iam::{ACCOUNT}:role/any"
# Service, method and arguments; an environment's buckets by their kind.
OUTSIDE: Mapping[str, list[tuple[str, str, dict[str, Any]]]] = {
    "monitored": [
        ("cloudwatch", "put_metric_data", {"Namespace": names.PROJECT, "MetricData": METRIC}),
        ("cloudwatch", "describe_alarms", {}),
        ("s3", "get_object", {"Bucket": "sample", "Key": "another-endpoint/one.jsonl"}),
        ("s3", "list_objects_v2", {"Bucket": "sample"}),
        ("s3", "get_object", {"Bucket": "models", "Key": "notes.txt"}),
        ("s3", "put_object", {"Bucket": "models", "Key": artifact_key(SHA256), "Body": b""}),
        ("logs", "filter_log_events", {"logGroupName": "/aws/sagemaker/Endpoints/any"}),
        ("lambda", "get_function_configuration", {"FunctionName": names.function("captured")}),
    ],
    "retrained": [
        ("s3", "put_object", {"Bucket": "models", "Key": "notes.txt", "Body": b""}),
        ("s3", "delete_object", {"Bucket": "models", "Key": "models/any"}),
        ("s3", "put_object", {"Bucket": "labels", "Key": "labels/any", "Body": b""}),
        ("s3", "delete_object", {"Bucket": "sample", "Key": "any"}),
        ("sts", "assume_role", {"RoleArn": ROLE, "RoleSessionName": "any"}),
        ("sagemaker", "create_model", {"ModelName": "any", "ExecutionRoleArn": ROLE}),
    ],
}


def test_what_is_outside_its_policy_is_refused(job: Job) -> None:
    keys = {name.lower(): key for name, key in job.keys().items()}
    for service, method, arguments in OUTSIDE[job.run.__name__]:
        own = {"Bucket": f"tumor-detector-{job.settings.environment}-{{}}-{ACCOUNT}-{REGION}"}
        known = {name: own[name].format(each) if name in own else each for name, each in arguments.items()}
        client = job.cloud.client(service, **keys)
        with pytest.raises(ClientError, match=r"AccessDenied.*is not authorized to perform"):
            getattr(client, method)(**known)
