"""The parts of `scripts/batch` without SageMaker: shards, jobs, results, cost, and what is refused."""

from __future__ import annotations

import csv
import json
import tracemalloc
from collections import Counter
from contextlib import nullcontext
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from pyarrow import parquet

from container.problem import MAX_IMAGE_BYTES
from infra.emulator.validation.shapes import validate
from scripts.commands.batch import parse as parse_options
from scripts.console import DeliveryError
from scripts.transform import results
from scripts.transform.batch import _CALLS, _check_places, _upload, estimate, files, parse
from scripts.transform.run import Prefix, Run
from tests.http_server import Reply, ScriptedServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BUCKET = "ours"
KEYS = {"aws_access_key_id": "any", "aws_secret_access_key": "any", "region_name": "us-east-1"}
MODEL = {"name": "m", "version": "3", "sha256": "ab"}
SURE = {"label": "YES", "class": 1, "probability": 0.1 + 0.2, "threshold": 0.5}
ANSWER = {**SURE, "reliability": "low", "reasons": ["a", "b"], "model": MODEL}
PROBLEM = {"type": "about:blank", "title": "Bad Request", "status": 400, "detail": 'Not, "good"'}


class FakeJobs:
    """SageMaker, which runs at most `quota` jobs, each of which ends when it is described once."""

    def __init__(self, s3: Any, quota: int) -> None:
        self.s3, self.quota = s3, quota
        self.running: set[str] = set()
        self.sent: Counter[str] = Counter()
        self.most = 0

    def create_transform_job(self, **given: Any) -> None:
        validate("sagemaker", "CreateTransformJob", given)
        if len(self.running) >= self.quota:
            raise error("ResourceLimitExceeded")
        self.running.add(given["TransformJobName"])
        self.most = max(self.most, len(self.running))
        manifest = given["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"].removeprefix("s3://ours/")
        first, *keys = json.loads(self.s3.get_object(Bucket=BUCKET, Key=manifest)["Body"].read())
        assert first == {"prefix": "s3://ours/"}
        output = given["TransformOutput"]["S3OutputPath"].removeprefix("s3://ours/")
        for key in keys:
            self.sent[key] += 1
            self.s3.put_object(Bucket=BUCKET, Key=f"{output}/{key}.out", Body=json.dumps(ANSWER).encode())

    def describe_transform_job(self, **call: Any) -> dict[str, str]:
        if call["TransformJobName"] not in self.running:
            raise error("ValidationException")
        self.running.remove(call["TransformJobName"])
        return {"TransformJobStatus": "Completed"}


def error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "why"}}, "any")


def make_run(s3: Any, *, quota: int = 1, **given: Any) -> Run:
    common: dict[str, Any] = {"instance_type": "ml.c7i.large", "key": None, "tags": {"a": "b"}, "poll_s": 0}
    common |= {"bucket": BUCKET, "id": "id", "images": Prefix(BUCKET, "scans/"), "model": "m", "name": "job"}
    return Run(**common | {"s3": s3, "sagemaker": FakeJobs(s3, quota)} | given)


@pytest.fixture
def s3() -> Iterator[Any]:
    with mock_aws():
        client = boto3.client("s3", **KEYS)  # type: ignore[call-overload]
        client.create_bucket(Bucket=BUCKET)
        yield client


def planned(run: Run, images: dict[str, bytes], *, per_job: int = 2) -> range:
    """Plan a run of images, and return the numbers of its shards."""
    for name, content in images.items():
        run.s3.put_object(Bucket=BUCKET, Key=f"scans/{name}", Body=content)
    return range(1, run.plan(run.images.list(run.s3), per_job=per_job)[1] + 1)


def test_images_are_sent_in_order_but_those_of_no_size_answered_or_gone(s3: Any) -> None:
    run = make_run(s3)
    odd = {"b": b"", "c": bytes(MAX_IMAGE_BYTES + 1), "d/": b""}
    shards = planned(run, {**dict.fromkeys("aef\u00e9\U0001f600", b"1"), **odd}, per_job=3)
    run.write("answers/1/scans/a.out", json.dumps(SURE).encode())
    for name in ("e", "\U0001f600"):
        s3.delete_object(Bucket=BUCKET, Key=f"scans/{name}")
    assert [run.waiting(shard) for shard in shards] == [[], ["scans/f", "scans/\u00e9"], []]
    rows = [row for shard in shards for row in run.rows(shard, strip="scans/")]
    assert {row["key"]: row.get("problem", {}).get("status") for row in rows} == {
        "a": None, "b": 400, "c": 413, "e": 410, "\U0001f600": 410,
    }  # fmt: skip


def test_planning_and_writing_take_no_more_memory_for_more_images(tmp_path: Path) -> None:
    peaks = {}
    nowhere = SimpleNamespace(put_object=lambda **_: None)
    for images in (5_000, 25_000):
        tracemalloc.start()
        listed = ((f"scans/{number:020}.png", 1) for number in range(images))
        assert make_run(nowhere).plan(listed, per_job=2_500) == (images, images // 2_500)
        rows = ({"key": str(number), **ANSWER} for number in range(images // 10))
        results.write(rows, tmp_path, "parquet", s3=None)
        peaks[images] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peaks[25_000] < 1.2 * peaks[5_000] + 2**20


def test_a_small_quota_makes_fewer_jobs_run_at_once_and_none_is_an_error(s3: Any) -> None:
    run = make_run(s3, quota=2)
    run.classify(planned(run, {f"{number}": b"1" for number in range(10)}), 10, at_once=3)
    assert run.sagemaker.most == 2
    assert Counter(run.sagemaker.sent.values()) == {1: 10}
    with pytest.raises(DeliveryError, match=r"ml\.c7i\.large for transform job usage.*--resume continues"):
        make_run(s3, quota=0, id="other").classify(planned(make_run(s3, id="other"), {}), 10, at_once=3)


def test_a_job_that_was_named_and_never_created_is_created(s3: Any) -> None:
    run = make_run(s3)
    shards = planned(run, {"a": b"1"})
    run.write("jobs/1", b"job-00001-1")  # the call was killed between the two
    run.classify(shards, 1, at_once=1)
    assert run.sagemaker.sent == {"scans/a": 1}


@pytest.mark.parametrize("size", ["large", "xlarge", "2xlarge", "24xlarge"])
def test_requests_for_any_size_are_within_sagemakers_rules(s3: Any, size: str) -> None:
    key = "arn:aws:kms:eu-west-1:123456789012:key/k"
    made = make_run(s3, instance_type=f"ml.c7i.{size}", key=key)._request("j", 1)
    validate("sagemaker", "CreateTransformJob", made)
    assert made["MaxConcurrentTransforms"] >= 2
    assert made["MaxPayloadInMB"] * 2**20 > MAX_IMAGE_BYTES


ROWS: list[results.Row] = [
    {"key": "a b%2F é.png", **ANSWER},
    {"key": 'c,"d".png', **SURE},
    {"key": "e.png", "problem": PROBLEM},
]


def test_each_format_holds_the_same(tmp_path: Path) -> None:
    for form in results.FORMATS:
        assert results.write(iter(ROWS), tmp_path, form, s3=None) == str(tmp_path / f"results.{form}")
    lines = (tmp_path / "results.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == ROWS
    table = parquet.read_table(tmp_path / "results.parquet").to_pylist()
    with (tmp_path / "results.csv").open(encoding="utf-8", newline="") as file:
        shown = [{name: "" if each is None else str(each) for name, each in row.items()} for row in table]
        assert shown == [*csv.DictReader(file)]
    assert [row["probability"] for row in table] == [0.1 + 0.2, 0.1 + 0.2, None]
    assert (table[0]["reasons"], table[0]["model_version"], table[2]["problem_status"]) == ("a; b", "3", 400)


def test_a_failure_leaves_no_part_of_a_file_and_the_older_one(tmp_path: Path) -> None:
    (tmp_path / "results.csv").write_text("older")

    def failing() -> Iterator[results.Row]:
        yield ROWS[0]
        raise RuntimeError

    with pytest.raises(RuntimeError):
        results.write(failing(), tmp_path, "csv", s3=None)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("results.csv", "older")]


def test_throttling_by_s3_is_waited_for() -> None:
    body = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
    with ScriptedServer().running() as server:
        server.replies.extend([Reply(503, body, "application/xml")] * 3)
        server.default = Reply(200, b"answer", "application/json")
        s3 = boto3.client("s3", endpoint_url=server.url, config=_CALLS, **KEYS)  # type: ignore[call-overload]
        assert make_run(s3).read("run.json") == b"answer"
        assert len(server.calls) == 4


@pytest.mark.parametrize(
    ("source", "output", "refusal"),
    [
        ("s3://other/a", "/out", "name the bucket in .batch. buckets"),
        ("s3://ours", "/out", "includes runs/"),
        ("s3://ours/runs/x", "/out", "includes runs/"),
        ("s3://ours/a", "s3://other/b", "a prefix of s3://ours/"),
        ("s3://ours/a", "s3://ours/a/b", "lies in INPUT"),
        ("{folder}", "{folder}/out", "lies in INPUT"),
        ("{folder}/absent", "/out", "is not a folder"),
        ("s3://scans", "s3://ours/out", ""),
        ("s3://ours/a//", "s3://ours/ab", ""),
        ("{folder}", "{folder}-2", ""),
    ],
)
def test_places_that_cannot_work_are_refused(source: str, output: str, refusal: str, tmp_path: Path) -> None:
    places = [parse(each.format(folder=tmp_path)) for each in (source, output)]
    with pytest.raises(DeliveryError, match=refusal) if refusal else nullcontext():
        _check_places(*places, bucket="ours", readable=("ours", "scans"))


def test_a_name_that_is_no_utf8_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "\udcff.png").touch()
    (path,) = files(tmp_path)
    with pytest.raises(DeliveryError, match=r"xff\.png.*not UTF-8"):
        _upload(make_run(None), path, tmp_path)


def test_the_cost_is_that_of_instances_and_requests() -> None:
    line = estimate(1_000_000, 10, instance_type="ml.c7i.large", at_once=10, uploads=False)
    # 1,000,000 x 0.012 s / 2 cores + 10 starts of 300 s = 9,000 s; 0.1071 USD an hour; a PUT an image
    assert "2.5 hours of ml.c7i.large, 0.2 on the clock, 5.27 USD with S3" in line
    other = estimate(1, 1, instance_type="ml.c6i.large", at_once=1, uploads=True)
    assert "price is not in scripts/pricing/prices.toml" in other


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--instance-type", "large"], "ml.FAMILY.SIZE"),
        (["--instance-type", "ml.c7g.large"], "an Arm instance"),
        (["--instances", "0"], "a whole number"),
        (["--format", "xml"], "invalid choice"),
    ],
)
def test_wrong_options_are_refused(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse_options(["in", "out", "--env", "local", *options])
    assert message in capsys.readouterr().err
