"""The role of the monitoring workflow, enforced: each of its permissions is needed, and no other is there."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from unittest import mock

import boto3
import numpy as np
import pytest
from botocore.exceptions import ClientError

from infra import config, names
from infra.config.environment import Feedback, GitHub
from infra.config.hosting import RealTime
from infra.emulator import LocalAws
from infra.local_aws import ACCOUNT, local_environment
from infra.release import artifact_key
from infra.stacks.delivery import DeliveryStack
from scripts.console import DeliveryError
from scripts.monitoring.monitor import conclude, monitor, put_metrics
from tests.e2e.production import REPOSITORY, assume_with_github_token
from tests.emulator.cloud import FAKE_SERVER, Cloud
from tests.emulator.deployment import REGION, mark_bootstrapped
from tests.infra.synthesis import as_list, synthesize_stack
from tests.monitoring.served import NOW, SHA256, artifact, captured, drawn, lines, logged, reference, rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from infra.config import Settings


@dataclass
class Watched:
    """An environment with one answer and one label, and the role that may read them."""

    cloud: Cloud
    settings: Settings
    role: str

    def keys(self) -> dict[str, str]:
        subject = f"{REPOSITORY}:environment:{names.watch(self.settings.environment)}"
        arn = f"arn:aws:iam::{ACCOUNT}:role/{self.role}"
        return assume_with_github_token(self.cloud.client("sts"), arn, subject=subject)

    def monitored(self) -> str | None:
        """Monitor as the workflow does; return why that fails."""
        variables = local_environment(os.environ, port=self.cloud.aws.port, region=REGION) | self.keys()
        with (
            mock.patch.dict(os.environ, variables, clear=True),
            mock.patch.object(boto3, "DEFAULT_SESSION", None),
        ):
            try:
                report = monitor(self.settings, since=NOW - timedelta(days=1))
                put_metrics(report, self.settings.endpoint_name)
                assert (report.answers, conclude(report)) == (1, 4)
                assert report.models[0].accuracy
                assert report.models[0].accuracy.labelled == 1
            except (ClientError, DeliveryError) as error:
                return str(error)
        return None


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    log = tmp_path_factory.mktemp("aws") / "aws.log"
    with LocalAws(port=0, engine="process", log=log, program=FAKE_SERVER, enforce_policies=True) as started:
        yield Cloud(started)


@pytest.fixture(scope="module", params=["captured", "logged"])
def watched(request: pytest.FixtureRequest, aws: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Watched:
    prod = config.load("prod")
    assert isinstance(prod.hosting, RealTime)
    # An account holds one provider of GitHub's tokens.
    github = GitHub(repository=REPOSITORY, provider="own" if request.param == "captured" else "existing")
    hosting = prod.hosting if request.param == "captured" else replace(prod.hosting, data_capture=None)
    settings = replace(prod, environment=request.param, region=REGION, hosting=hosting, github=github)
    settings = replace(settings, feedback=Feedback(expire_days=1))
    key = aws.client("kms").create_key()["KeyMetadata"]["Arn"]
    parameter = names.key_parameter(request.param)
    aws.client("ssm").put_parameter(Name=parameter, Value=key, Type="String")
    mark_bootstrapped(aws)
    fill(aws, settings, key)
    name = names.stack(request.param, "delivery")
    folder = tmp_path_factory.mktemp(request.param)
    template = synthesize_stack(lambda app: DeliveryStack(app, settings=settings, github=github), folder)
    (role,) = (id_ for id_ in template.all("IAM::Role") if "MonitorRole" in id_)
    aws.create_stack(name, template.content)
    found = aws.stacks.describe_stack_resource(StackName=name, LogicalResourceId=role)
    return Watched(aws, settings, found["StackResourceDetail"]["PhysicalResourceId"])


def fill(aws: Cloud, settings: Settings, key: str) -> None:
    """Put one answer, one label and the model's reference where the environment has them."""
    endpoint, environment = settings.endpoint_name, settings.environment
    row = rows(drawn(1, np.random.default_rng(3)))[0]
    label = {"request_id": "one", "label": "YES", "caller": None, "model_sha256": SHA256}
    label["time"] = "2026-11-30T20:00:00Z"
    variant = f"{endpoint}/{endpoint}/{names.VARIANT_NAME}"
    trained = artifact(reference(drawn(400, np.random.default_rng(7))))
    objects = {
        (names.bucket, artifact_key(SHA256)): trained,
        (names.label_bucket, "labels/one/0.json"): json.dumps(label).encode(),
        (names.capture_bucket, f"{variant}/{NOW:%Y/%m/%d/%H}/0.jsonl"): lines([captured(row, id_="one")]),
    }
    for (named, path), content in objects.items():
        bucket = named(environment, account=ACCOUNT, region=REGION)
        aws.create_bucket(bucket)
        encryption: Any = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key}
        aws.s3.put_object(Bucket=bucket, Key=path, Body=content, **encryption)
    gateway = names.stack(environment, "gateway")
    generated = {"LogGroupName": f"{gateway}-FrontLogs0A1B-c2D3"}  # by CloudFormation; ministack differs
    template = {
        "Resources": {"Logs": {"Type": "AWS::Logs::LogGroup", "Properties": generated}},
        "Outputs": {"LogGroupName": {"Value": {"Ref": "Logs"}}},
    }
    group = aws.create_stack(gateway, template)["LogGroupName"]
    stream, logs = {"logGroupName": group, "logStreamName": "any"}, aws.client("logs")
    logs.create_log_stream(**stream)
    event = {"timestamp": int(time.time() * 1000), "message": json.dumps(logged(row, id_="one"))}
    logs.put_log_events(**stream, logEvents=[event])


def test_with_its_policy_it_works_and_without_any_part_of_it_fails(watched: Watched) -> None:
    assert watched.monitored() is None
    iam = watched.cloud.client("iam")
    (policy,) = iam.list_role_policies(RoleName=watched.role)["PolicyNames"]
    named = {"RoleName": watched.role, "PolicyName": policy}
    whole = iam.get_role_policy(**named)["PolicyDocument"]
    parts = [
        {**statement, "Action": action, "Resource": resource}
        for statement in whole["Statement"]
        for action in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
    ]
    assert len(parts) == 8
    needless = []
    for part in parts:
        others = [each for each in parts if each != part]
        iam.put_role_policy(**named, PolicyDocument=json.dumps({**whole, "Statement": others}))
        reason = watched.monitored() or ""
        if f"not authorized to perform: {part['Action']}" not in reason:
            needless.append((part["Action"], part["Resource"], reason))
    iam.put_role_policy(**named, PolicyDocument=json.dumps(whole))
    assert needless == []


def test_what_is_outside_its_policy_is_refused(watched: Watched) -> None:
    environment, keys = watched.settings.environment, watched.keys()
    place = {"account": ACCOUNT, "region": REGION}

    def client(service: str) -> Any:
        return watched.cloud.client(service, **{name.lower(): key for name, key in keys.items()})

    datum = [{"MetricName": "any", "Value": 1.0}]
    captures = names.capture_bucket(environment, **place)
    models = names.bucket(environment, **place)
    outside: list[Callable[[], object]] = [
        lambda: client("cloudwatch").put_metric_data(Namespace=names.PROJECT, MetricData=datum),
        lambda: client("cloudwatch").describe_alarms(),
        lambda: client("s3").get_object(Bucket=captures, Key="another-endpoint/one.jsonl"),
        lambda: client("s3").list_objects_v2(Bucket=captures),
        lambda: client("s3").get_object(Bucket=models, Key="notes.txt"),
        lambda: client("s3").put_object(Bucket=models, Key=artifact_key(SHA256), Body=b""),
        lambda: client("logs").filter_log_events(logGroupName="/aws/sagemaker/Endpoints/any"),
        lambda: client("lambda").get_function_configuration(FunctionName=names.function(environment)),
    ]
    for call in outside:
        with pytest.raises(ClientError, match=r"AccessDenied.*is not authorized to perform"):
            call()
