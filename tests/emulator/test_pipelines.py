"""The training pipeline on local AWS that enforces policies, with a fake `scripts/train`."""

from __future__ import annotations

import json
import os
import shutil
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any
from unittest import mock

import boto3
import pytest
from botocore.exceptions import ClientError

from infra import config, names
from infra.local_aws import ACCOUNT
from infra.paths import LAMBDAS
from scripts.commands import common, train
from scripts.console import DeliveryError
from scripts.training_job import entry, pipeline
from tests.e2e.production import REPOSITORY, assume_with_github_token
from tests.emulator.cloud import AT_ONCE, wait_for
from tests.emulator.deployment import MANIFEST, REGION
from tests.emulator.production import Prod, without_each_permission

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

IMAGE = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/training:1"
MLFLOW = "https://mlflow.example.org"
TRAINING = f"""
[training]
image = "{IMAGE}"
mlflow = "{MLFLOW}"
expire_days = 7

[github]
repository = "{REPOSITORY}"
"""
# Shows what it got, keeps a file, then does what the test appends.
TRAIN = """
import os, pathlib, sys, time
folder = pathlib.Path(sys.argv[-1])
files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
print("training", *sys.argv[1:-1], folder.name, *files, os.environ["MLFLOW_TRACKING_URI"], flush=True)
"""
BEGINS = "training --"
FAILING = 'sys.exit("the MLflow store https://mlflow.example.org cannot be used: refused. Start the server.")'
WAITING = """
try:
    time.sleep(60)
except KeyboardInterrupt:
    print("stopped cleanly", flush=True)
    sys.exit(130)
"""
PAGE = "https://docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-roles.html"  # CreateTrainingJob API
DOCUMENTED = {"logs:DescribeLogStreams": PAGE, "ecr:BatchCheckLayerAvailability": PAGE}


class Trainings(Prod):
    """Prod's registry with [training], and calls of the workflow's training."""

    then = ""

    def train(self, data: Path) -> None:
        pipeline.run(self.settings, ["--quick", "--data", str(data), "--challenger"])

    def pack(self, to: Path) -> None:
        """Pack the real entry point, and a fake training."""
        for name, content in (
            ("scripts/training_job/entry.py", open(entry.__file__).read()),  # noqa: PTH123, SIM115
            ("scripts/commands/train.py", TRAIN + self.then),
        ):
            (to / name).parent.mkdir(parents=True)
            (to / name).write_text(content)

    def logged(self, _group: str = names.TRAINING_LOG_GROUP) -> list[str]:
        logs = self.client("logs")
        if not logs.describe_log_groups(logGroupNamePrefix=_group)["logGroups"]:
            return []
        pages = logs.get_paginator("filter_log_events").paginate(logGroupName=_group)
        return [event["message"] for page in pages for event in page["events"]]

    def trainings(self) -> int:
        return sum(line.startswith(BEGINS) for line in self.logged())

    def kept(self) -> set[str]:
        return {*self.cloud.keys(self.outputs("registry")["TrainingBucketName"], "outputs/")}


@pytest.fixture(scope="module")
def prod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trainings]:
    folder = tmp_path_factory.mktemp("prod")
    with Trainings.started(folder, "registry", "delivery", added=TRAINING) as made:
        cloud = made.cloud
        cloud.ecr.create_repository(repositoryName="training")
        cloud.ecr.put_image(repositoryName="training", imageTag="1", imageManifest=json.dumps(MANIFEST))
        subject = f"{REPOSITORY}:environment:{names.retraining('prod')}"
        retrain = f"arn:aws:iam::{ACCOUNT}:role/{cloud.role(made.name('delivery'), 'GitHubRetrainRole')}"
        keys = assume_with_github_token(cloud.client("sts"), retrain, subject=subject)
        with (
            cloud.alone(keys | {"MLFLOW_TRACKING_URI": MLFLOW}),
            mock.patch.object(pipeline, "POLL_S", 0.1),
            mock.patch.object(pipeline, "pack_source", made.pack),
        ):
            yield made


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name, phantom in (("yes", "101-lesion"), ("no", "102-healthy")):
        (tmp_path / "scans" / name).mkdir(parents=True)
        shutil.copy(LAMBDAS / "canary" / "phantoms" / f"{phantom}.png", tmp_path / "scans" / name / "1.png")
    (tmp_path / "scans" / "notes.txt").write_text("of a patient")
    return tmp_path / "scans"


def test_the_job_gets_its_images_and_options_and_nothing_else(prod: Trainings, data: Path) -> None:
    before, kept_before = prod.trainings(), prod.kept()
    prod.train(data)
    (line,) = [line for line in prod.logged() if line.startswith(BEGINS)][before:]
    assert line == f"training --quick --challenger --data scans no/1.png yes/1.png {MLFLOW}"
    (kept,) = prod.kept() - kept_before
    assert kept.startswith("outputs/pipelines-")


def test_the_command_trains_in_the_pipeline_with_the_images_that_are_here(
    prod: Trainings, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(config, "load", lambda _: prod.settings)
    monkeypatch.setattr(common, "connect", lambda _: None)  # it is, as the workflow
    monkeypatch.setenv("TUMOR_DATA", str(data))
    before = prod.trainings()
    train.main(["--quick", "--on", "sagemaker", "--env", "prod"])
    assert prod.trainings() == before + 1
    (line,) = [line for line in prod.logged() if line.startswith(BEGINS)][before:]
    assert line == f"training --quick --data scans no/1.png yes/1.png {MLFLOW}"
    assert f"its runs and models are in {MLFLOW}" in capsys.readouterr().err


def test_a_failure_is_told_with_its_reason_and_what_to_do(
    prod: Trainings, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prod, "then", FAILING)
    with pytest.raises(DeliveryError, match=r"failed: AlgorithmError: .*\n?.*Start the server\.") as failed:
        prod.train(data)
    assert "--log-stream-name-prefix pipelines-" in str(failed.value)
    assert "--resume continues" in str(failed.value)


@pytest.mark.parametrize("by_ctrl_c", [True, False])
def test_a_stopped_execution_stops_its_training_and_says_how_to_continue(
    prod: Trainings, data: Path, monkeypatch: pytest.MonkeyPatch, *, by_ctrl_c: bool
) -> None:
    monkeypatch.setattr(prod, "then", WAITING)
    before = prod.trainings()
    client: Any = prod.client("sagemaker")
    executions: list[str] = []

    def status() -> str:
        described = client.describe_pipeline_execution(PipelineExecutionArn=executions[0])
        return str(described["PipelineExecutionStatus"])

    def sleep(_seconds: float) -> None:
        if prod.trainings() > before:
            if by_ctrl_c:
                raise KeyboardInterrupt
            if status() == "Executing":
                client.stop_pipeline_execution(PipelineExecutionArn=executions[0])
        time.sleep(0.05)

    def follow(*given: Any, **options: Any) -> None:
        executions.append(given[1])
        with mock.patch.object(pipeline, "time", mock.Mock(sleep=sleep)):
            followed(*given, **options)

    followed = pipeline._follow
    monkeypatch.setattr(pipeline, "_follow", follow)
    with pytest.raises(SystemExit if by_ctrl_c else DeliveryError, match=r"130|was stopped: .* --resume"):
        prod.train(data)

    wait_for(lambda: status() == "Stopped")
    assert prod.logged()[-1] == "stopped cleanly"
    with pytest.raises(ClientError, match="cannot be stopped: its status is Stopped"):
        client.stop_pipeline_execution(PipelineExecutionArn=executions[0])


def test_what_cannot_be_started_is_refused(prod: Trainings, data: Path) -> None:
    client, name = prod.client("sagemaker"), names.training_pipeline("prod")
    with pytest.raises(ClientError, match=r"unknown or have no value: among .*Prefix"):
        client.start_pipeline_execution(PipelineName=name, PipelineParameters=[])
    missing = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:pipeline/{name}/execution/aaaaaaaaaaaa"
    with pytest.raises(ClientError, match="does not exist"):
        client.describe_pipeline_execution(PipelineExecutionArn=missing)
    with (
        mock.patch.dict(os.environ, MLFLOW_TRACKING_URI="sqlite:////other"),
        pytest.raises(DeliveryError, match="is sqlite:////other, but the pipeline logs to https://mlflow"),
    ):
        pipeline.prepare(prod.settings)


def test_an_update_of_its_stack_changes_the_pipeline(prod: Trainings) -> None:
    whole, stack = json.dumps(prod.assembly.template("registry").content), prod.name("registry")

    def update(body: str) -> None:
        prod.cloud.stacks.update_stack(
            StackName=stack, TemplateBody=body, Capabilities=["CAPABILITY_NAMED_IAM"]
        )
        prod.cloud.stacks.get_waiter("stack_update_complete").wait(StackName=stack, WaiterConfig=AT_ONCE)

    update(whole.replace(r"\"Type\":\"Training\"", r"\"Type\":\"Fail\""))
    name = names.training_pipeline("prod")
    with pytest.raises(ClientError, match="runs pipelines of one Training step"):
        prod.client("sagemaker").start_pipeline_execution(PipelineName=name)
    update(whole)


@pytest.mark.slow
def test_without_any_part_of_its_policies_a_training_fails(
    prod: Trainings, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    group, logs, iam = names.TRAINING_LOG_GROUP, prod.client("logs"), prod.client("iam")

    def failure() -> str:
        with suppress(logs.exceptions.ResourceNotFoundException):
            logs.delete_log_group(logGroupName=group)
        try:
            prod.train(data)
        except (DeliveryError, ClientError) as error:
            return str(error)
        return "" if prod.logged() else "nothing was logged"

    def stop_failure() -> str:
        """Stop an execution that waits, as the workflow's role."""
        client: Any = boto3.client("sagemaker")
        before = prod.trainings()
        given = [
            {"Name": "Prefix", "Value": f"s3://{bucket}/runs/waiting/"},
            {"Name": "Arguments", "Value": "[]"},
        ]
        name = names.training_pipeline("prod")
        started = client.start_pipeline_execution(PipelineName=name, PipelineParameters=given)
        execution = {"PipelineExecutionArn": started["PipelineExecutionArn"]}
        wait_for(lambda: prod.trainings() > before)
        try:
            client.stop_pipeline_execution(**execution)
        except ClientError as error:
            prod.client("sagemaker").stop_pipeline_execution(**execution)
            return str(error)
        described = partial(client.describe_pipeline_execution, **execution)
        wait_for(lambda: described()["PipelineExecutionStatus"] not in ("Executing", "Stopping"))
        return str(described().get("FailureReason", ""))

    bucket = prod.outputs("registry")["TrainingBucketName"]
    with monkeypatch.context() as patched:
        patched.setattr(prod, "then", WAITING)
        pipeline._upload({"data": str(data)}, bucket, "runs/waiting/")
    assert failure() == stop_failure() == ""
    needless, tried = [], []
    found = [each["RoleName"] for each in iam.list_roles()["Roles"]]
    for role in [each for each in found if "RetrainRole" in each or "-Pipeline" in each]:
        for action, on in without_each_permission(iam, role):
            ours = "-Pipeline" in role or any(each in json.dumps(on) for each in ("-train-", ":pipeline/"))
            if not ours or action in DOCUMENTED:
                continue
            tried.append(action)
            reason = stop_failure() if "Stop" in action else failure()
            silent = action.startswith("logs:") and reason == "nothing was logged"
            if f"not authorized to perform: {action}" not in reason and not silent:
                needless.append((role, action, on, reason))
    assert len(tried) == 21
    assert needless == []
