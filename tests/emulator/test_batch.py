"""`scripts/batch` and its roles on local AWS that enforces policies, with the fake server for a model."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
from botocore.exceptions import ClientError

from infra import names
from scripts.commands.batch import parse
from scripts.console import DeliveryError
from scripts.transform.batch import batch, conclude
from tests.emulator.production import Prod, without_each_permission

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ANSWER = {"label": "NO", "class": 0, "probability": 0.25, "threshold": 0.5}
ODD = ["a b.png", "a%2Fb.png", "ä/ü#?+&.png", "quote\"'.png", "deep/er/c.png"]
SCANS = "scans"  # a bucket of the account's that jobs may read
PAGE = "https://docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-roles.html"
DOCUMENTED = {"logs:DescribeLogStreams": PAGE}  # where the emulator cannot tell


class Batches(Prod):
    """Prod's registry and endpoint with [batch], and calls of the command."""

    def call(self, source: object, output: object, *options: str) -> dict[str, Any]:
        arguments = [str(source), str(output), "--env", "prod", *options]
        report = batch(self.settings, parse(arguments))
        conclude(report)
        return report

    @property
    def bucket(self) -> str:
        return self.outputs("registry")["BatchBucketName"]


@pytest.fixture(scope="module")
def prod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Batches]:
    folder, added = tmp_path_factory.mktemp("prod"), f'\n[batch]\nexpire_days = 7\nbuckets = ["{SCANS}"]\n'
    with Batches.started(folder, "registry", "endpoint", added=added, adds=ANSWER) as made:
        made.cloud.create_bucket(SCANS)
        with made.cloud.alone(), mock.patch("scripts.transform.batch.POLL_S", 0.1):
            yield made


def fill(folder: Path, *written: str) -> Path:
    for name in written:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return folder


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


def serve(prod: Batches, **behaviour: object) -> None:
    """Let the model's server behave otherwise in later jobs."""
    prod.publish_model(**{"adds": ANSWER, **behaviour})


def test_every_file_of_any_name_is_answered_by_the_model_that_serves(prod: Batches, tmp_path: Path) -> None:
    fill(tmp_path / "in", *ODD, ".hidden")
    report = prod.call(tmp_path / "in", tmp_path / "out", "--images-per-job", "2", "--instances", "2")
    found = rows(tmp_path / "out")
    assert [each["key"] for each in found] == sorted(ODD)
    assert {each["environment"]["SAGEMAKER_BATCH"] for each in found} == {"true"}
    assert {each["content_type"] for each in found} == {"application/octet-stream"}
    expected = {"images": 5, "answered": 5, "refused": 0, "unanswered": [], "failures": {}}
    assert expected.items() <= report.items()
    assert report["model"] == prod.outputs("endpoint")["ModelName"]
    assert len(report["jobs"]) == 3
    job = prod.cloud.sagemaker.describe_transform_job(TransformJobName=report["jobs"][0])
    key = prod.client("ssm").get_parameter(Name=names.key_parameter("prod"))["Parameter"]["Value"]
    assert job["TransformResources"]["VolumeKmsKeyId"] == job["TransformOutput"]["KmsKeyId"] == key


def test_a_prefix_is_answered_into_a_prefix(prod: Batches) -> None:
    for name in ("a.png", "b/", "b/a.png"):
        prod.cloud.s3.put_object(Bucket=SCANS, Key=f"ward/{name}", Body=name.encode())
    prod.cloud.s3.put_object(Bucket=SCANS, Key="ward-2/a.png", Body=b"of another prefix")
    report = prod.call(f"s3://{SCANS}/ward", f"s3://{prod.bucket}/results", "--format", "csv")
    assert report["results"] == f"s3://{prod.bucket}/results/results.csv"
    written = prod.cloud.read(prod.bucket, "results/results.csv").decode()
    assert [line.split(",")[:2] for line in written.splitlines()[1:]] == [
        ['"ward/a.png"', '"NO"'],
        ['"ward/b/a.png"', '"NO"'],
    ]


@pytest.mark.parametrize("leave", [False, True])
def test_ctrl_c_stops_the_jobs_or_leaves_them_and_nothing_is_sent_twice(
    prod: Batches, tmp_path: Path, *, leave: bool
) -> None:
    fill(tmp_path / "in", *(f"{number:02}.png" for number in range(40)))
    serve(prod, seconds=0.4)

    def interrupted(text: str) -> None:
        if text.endswith("answered") and not text.startswith("0 "):
            raise KeyboardInterrupt

    options = ["--leave"] if leave else []
    with mock.patch("scripts.transform.run.progress", interrupted), pytest.raises(SystemExit) as stopped:
        prod.call(tmp_path / "in", tmp_path / "out", *options)
    assert stopped.value.code == 130
    assert not list((tmp_path / "out").glob("*"))
    jobs: Any = prod.cloud.sagemaker.list_transform_jobs()
    assert jobs["TransformJobSummaries"][0]["TransformJobStatus"] == ("InProgress" if leave else "Stopping")
    with pytest.raises(DeliveryError, match="--resume continues it"):
        prod.call(tmp_path / "in", tmp_path / "out")
    report = prod.call(tmp_path / "in", tmp_path / "out", "--resume")
    assert (report["answered"], len(rows(tmp_path / "out"))) == (40, 40)
    assert len(report["jobs"]) == (0 if leave else 1)
    if not leave:  # the second job got the rest alone
        job = prod.cloud.sagemaker.describe_transform_job(TransformJobName=report["jobs"][0])
        bucket, _, key = job["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"][5:].partition("/")
        assert 0 < len(json.loads(prod.cloud.read(bucket, key))) - 1 < 40
    serve(prod)


def test_an_image_that_always_fails_is_named_and_sent_again(prod: Batches, tmp_path: Path) -> None:
    fill(tmp_path / "in", "a.png")
    serve(prod, refuse=500)
    with pytest.raises(DeliveryError, match=r"1 images have no answer, such as .*a\.png\n.*AlgorithmError"):
        prod.call(tmp_path / "in", tmp_path / "out")
    serve(prod)
    assert prod.call(tmp_path / "in", tmp_path / "out", "--resume")["answered"] == 1


@pytest.mark.slow
def test_without_any_part_of_its_policies_a_batch_fails(prod: Batches, tmp_path: Path) -> None:
    prod.cloud.s3.put_object(Bucket=SCANS, Key="few/a.png", Body=b"image")
    group, logs, calls = names.TRANSFORM_LOG_GROUP, prod.client("logs"), iter(range(1000))

    def failure() -> str:
        output = tmp_path / str(next(calls))
        with suppress(logs.exceptions.ResourceNotFoundException):
            logs.delete_log_group(logGroupName=group)
        try:
            report = prod.call(f"s3://{SCANS}/few", output)
            stop = prod.cloud.client("sagemaker", prod.arn("batch")).stop_transform_job
            stop(TransformJobName=report["jobs"][0])
        except DeliveryError as error:
            return str(error)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ValidationException":  # it has ended
                return str(error)
        groups = logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
        lines = groups and logs.filter_log_events(logGroupName=group)["events"]
        return "" if lines else "nothing was logged"

    assert failure() == ""
    needless = []
    for role in ("batch", "model"):
        for action, on in without_each_permission(prod.client("iam"), prod.role(role)):
            resource = json.dumps(on)
            ours = role == "batch" or any(each in resource for each in (prod.bucket, SCANS, group))
            if not ours or action in DOCUMENTED:
                continue
            reason = failure()
            if f"not authorized to perform: {action}" not in reason and not (
                action.startswith("logs:") and reason == "nothing was logged"
            ):
                needless.append((role, action, resource, reason))
    assert needless == []


def test_a_batch_role_may_do_nothing_else(prod: Batches) -> None:
    client = prod.cloud.client("sagemaker", prod.arn("batch"))
    s3 = prod.cloud.client("s3", prod.arn("batch"))
    for call in (
        lambda: client.describe_transform_job(TransformJobName="another"),
        client.list_transform_jobs,
        lambda: s3.get_object(Bucket=SCANS, Key="few/a.png"),
        lambda: s3.put_object(Bucket=SCANS, Key="few/b.png", Body=b""),
        lambda: s3.delete_object(Bucket=prod.bucket, Key="any"),
        lambda: s3.list_objects_v2(Bucket=prod.outputs("registry")["BucketName"]),
        lambda: client.describe_model(ModelName=prod.outputs("endpoint")["ModelName"]),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            call()
