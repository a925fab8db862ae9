"""The parts of `scripts/batch` without AWS: shards, jobs, results, cost, and what is refused."""

from __future__ import annotations

import csv
import io
import json
import tracemalloc
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError
from pyarrow import parquet

from container.problem import MAX_IMAGE_BYTES
from scripts.commands.batch import parse as parse_options
from scripts.console import DeliveryError
from scripts.transform import cost, results
from scripts.transform.batch import _CALLS, _check_places
from scripts.transform.jobs import MAX_TOTAL_MB, Jobs, request
from scripts.transform.place import Prefix, files, key_of, mapped, parse
from scripts.transform.run import Run
from tests.http_server import Call, Reply, ScriptedServer

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 2**20
MODEL = {"name": "m", "version": "3", "sha256": "ab"}
SURE = {"label": "YES", "class": 1, "probability": 0.1 + 0.2, "threshold": 0.5}
ANSWER = {**SURE, "reliability": "low", "reasons": ["a", "b"], "model": MODEL}
PROBLEM = {"type": "about:blank", "title": "Bad Request", "status": 400, "detail": 'Not, "good"'}


@dataclass
class FakeS3:
    """Buckets in memory, with the calls that a run makes; `generated` are keys without content."""

    objects: dict[str, bytes] = field(default_factory=dict)
    generated: int = 0
    keeps: bool = True

    def put_object(self, **call: Any) -> None:
        if self.keeps or "/shards/" not in call["Key"]:
            self.objects[call["Key"]] = call["Body"]

    def get_object(self, **call: Any) -> dict[str, Any]:
        if call["Key"] not in self.objects:
            raise error("NoSuchKey")
        return {"Body": io.BytesIO(self.objects[call["Key"]])}

    def get_paginator(self, _: str) -> FakeS3:
        return self

    def paginate(self, **call: Any) -> Iterator[dict[str, Any]]:
        after = call["StartAfter"]
        names = sorted(key for key in self.objects if key.startswith(call["Prefix"]) and key > after)
        yield {"Contents": [{"Key": key, "Size": len(self.objects[key])} for key in names]}
        for start in range(0, self.generated, 1000):
            numbers = range(start, start + 1000)
            yield {"Contents": [{"Key": f"scans/{number:020}.png", "Size": 1} for number in numbers]}


def error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "why"}}, "any")


def make_run(s3: FakeS3) -> Run:
    return Run(s3, "ours", "id", Prefix("ours", "scans/"))


def written(run: Run, *, images: dict[str, bytes], per_job: int = 2) -> int:
    """Plan a run of images, and return the number of its shards."""
    run.s3.objects |= {f"scans/{name}": content for name, content in images.items()}
    return run.plan(run.images.list(run.s3), per_job=per_job)[1]


def test_images_are_divided_in_order_and_those_of_no_size_are_answered_at_once() -> None:
    run = make_run(FakeS3())
    assert (
        written(run, images={"a": b"1", "b": b"", "c": bytes(MAX_IMAGE_BYTES + 1), "d/": b"", "e": b"1"}) == 2
    )
    assert [run.keys(shard) for shard in (1, 2)] == [["scans/a", "scans/b"], ["scans/c", "scans/e"]]
    assert [run.unanswered(shard) for shard in (1, 2)] == [["scans/a"], ["scans/e"]]
    found = {row["key"]: row.get("problem", {}).get("status") for row in results.rows(run, 2, strip="scans/")}
    assert found == {"b": 400, "c": 413}


def test_planning_and_writing_take_no_more_memory_for_more_images(tmp_path: Path) -> None:
    peaks = {}
    for images in (5_000, 25_000):
        run = make_run(FakeS3(generated=images, keeps=False))
        tracemalloc.start()
        assert run.plan(run.images.list(run.s3), per_job=2_500) == (images, images // 2_500)
        rows = ({"key": str(number), **ANSWER} for number in range(images // 10))
        results.write(rows, tmp_path, "parquet", s3=None)
        peaks[images] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peaks[25_000] < 1.2 * peaks[5_000] + MIB


def test_what_is_gone_is_answered_and_the_rest_is_left() -> None:
    run = make_run(FakeS3())
    assert written(run, images=dict.fromkeys(["a", "b", "c", "é", "\U0001f600"], b"1"), per_job=9) == 1
    run.write("answers/1/scans/a.out", b"{}")
    del run.s3.objects["scans/b"]
    del run.s3.objects["scans/\U0001f600"]
    assert run.settle(1) == ["scans/c", "scans/é"]
    assert {row["key"] for row in results.rows(run, 1) if row.get("problem", {}).get("status") == 410} == {
        "scans/b",
        "scans/\U0001f600",
    }


class FakeJobs:
    """SageMaker, which runs at most `quota` jobs, each of which ends when it is described once."""

    def __init__(self, run: Run, quota: int) -> None:
        self.run, self.quota = run, quota
        self.running: set[str] = set()
        self.sent: Counter[str] = Counter()
        self.most = 0

    def create_transform_job(self, **given: Any) -> None:
        if len(self.running) >= self.quota:
            raise error("ResourceLimitExceeded")
        self.running.add(given["TransformJobName"])
        self.most = max(self.most, len(self.running))
        manifest = given["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"].removeprefix("s3://ours/")
        first, *keys = json.loads(self.run.s3.objects[manifest])
        assert first == {"prefix": "s3://ours/"}
        output = given["TransformOutput"]["S3OutputPath"].removeprefix("s3://ours/")
        for key in keys:
            self.sent[key] += 1
            self.run.s3.objects[f"{output}/{key}.out"] = json.dumps(ANSWER).encode()

    def describe_transform_job(self, **call: Any) -> dict[str, str]:
        if call["TransformJobName"] not in self.running:
            raise error("ValidationException")
        self.running.remove(call["TransformJobName"])
        return {"TransformJobStatus": "Completed"}


def make_jobs(run: Run, client: FakeJobs) -> Jobs:
    common = request("model", instance_type="ml.c7i.large", key=None, tags={})
    return Jobs(client=client, run=run, request=common, name="job", at_once=3, poll_s=0)


def test_a_small_quota_makes_fewer_jobs_run_at_once_and_none_is_an_error() -> None:
    run = make_run(FakeS3())
    shards = written(run, images={f"{number}": b"1" for number in range(10)}, per_job=2)
    client = FakeJobs(run, quota=2)
    make_jobs(run, client).classify(shards, 10)
    assert client.most == 2
    assert set(client.sent.values()) == {1}
    assert len(client.sent) == 10
    other = make_run(FakeS3())
    written(other, images={"a": b"1"})
    with pytest.raises(DeliveryError, match=r"ml\.c7i\.large for transform job usage.*--resume continues"):
        make_jobs(other, FakeJobs(other, quota=0)).classify(1, 1)


def test_a_job_that_was_named_and_never_created_is_created() -> None:
    run = make_run(FakeS3())
    shards = written(run, images={"a": b"1"})
    run.write("jobs/1", b"job-00001-1")  # the call was killed between the two
    client = FakeJobs(run, quota=1)
    make_jobs(run, client).classify(shards, 1)
    assert client.sent == {"scans/a": 1}


@pytest.mark.parametrize("size", ["medium", "large", "xlarge", "2xlarge", "24xlarge"])
@pytest.mark.parametrize("key", [None, "arn:aws:kms:eu-west-1:123456789012:key/k"])
def test_what_jobs_have_in_common_is_within_sagemakers_rules(size: str, key: str | None) -> None:
    made = request("m", instance_type=f"ml.c7i.{size}", key=key, tags={"a": "b"})
    assert 2 <= made["MaxConcurrentTransforms"] <= MAX_TOTAL_MB / made["MaxPayloadInMB"]
    assert made["MaxPayloadInMB"] * MIB > MAX_IMAGE_BYTES
    assert made["TransformResources"].get("VolumeKmsKeyId") == made["TransformOutput"].get("KmsKeyId") == key


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
        assert [
            {name: "" if value is None else str(value) for name, value in row.items()} for row in table
        ] == [*csv.DictReader(file)]
    assert [row["probability"] for row in table] == [0.1 + 0.2, 0.1 + 0.2, None]
    assert (table[0]["reasons"], table[2]["problem_status"]) == ("a; b", 400)


def test_a_failure_leaves_no_part_of_a_file_and_the_older_one(tmp_path: Path) -> None:
    (tmp_path / "results.csv").write_text("older")

    def failing() -> Iterator[results.Row]:
        yield ROWS[0]
        raise RuntimeError

    with pytest.raises(RuntimeError):
        results.write(failing(), tmp_path, "csv", s3=None)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("results.csv", "older")]


class Throttling(ScriptedServer):
    def answer(self, call: Call) -> Reply:
        self.calls.append(call)
        return self.scripted(call)


def test_throttling_by_s3_is_waited_for() -> None:
    body = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
    with Throttling().running() as server:
        server.replies.extend([Reply(503, body, "application/xml")] * 3)
        server.default = Reply(200, b"answer", "application/json")
        keys = {"aws_access_key_id": "any", "aws_secret_access_key": "any", "region_name": "eu-west-1"}
        s3 = boto3.client("s3", endpoint_url=server.url, config=_CALLS, **keys)  # type: ignore[call-overload]
        assert Run(s3, "ours", "id", Prefix("ours", "")).read("run.json") == b"answer"
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
        ("{folder}/absent", "/out", "is no folder"),
    ],
)
def test_places_that_cannot_work_are_refused(source: str, output: str, refusal: str, tmp_path: Path) -> None:
    places = [parse(each.format(folder=tmp_path)) for each in (source, output)]
    with pytest.raises(DeliveryError, match=refusal):
        _check_places(*places, bucket="ours", readable=("ours", "scans"))


def test_other_places_are_taken(tmp_path: Path) -> None:
    _check_places(parse("s3://scans"), parse("s3://ours/out"), bucket="ours", readable=("ours", "scans"))
    _check_places(parse("s3://ours/a"), parse("s3://ours/ab"), bucket="ours", readable=("ours",))
    _check_places(tmp_path, Path(f"{tmp_path}-2"), bucket="ours", readable=("ours",))
    assert str(parse("s3://b/a//")) == "s3://b/a/"


def test_a_name_that_is_no_utf8_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "\udcff.png").touch()
    (path,) = files(tmp_path)
    with pytest.raises(DeliveryError, match=r"xff\.png.*not UTF-8"):
        key_of(path, tmp_path)


def test_mapped_calls_are_few_ahead_of_what_is_taken() -> None:
    called: list[int] = []
    taken = mapped(called.append, range(10_000))
    next(taken)
    assert len(called) <= 1000


def test_the_cost_is_that_of_instances_and_requests() -> None:
    line = cost.line(1_000_000, 10, instance_type="ml.c7i.large", at_once=10, uploads=False)
    # 1,000,000 x 0.012 s / 2 cores + 10 starts of 300 s = 9,000 s; 0.1071 USD an hour; a PUT an image
    assert "2.5 hours of ml.c7i.large, 0.2 on the clock, 5.27 USD with S3" in line
    other = cost.line(1, 1, instance_type="ml.c6i.large", at_once=1, uploads=True)
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
