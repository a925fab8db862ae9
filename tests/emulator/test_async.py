"""Asynchronous hosting with policies enforced: the page, the client, the queue from zero and back to zero."""

from __future__ import annotations

import json
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any
from unittest import mock
from uuid import uuid4

import numpy as np
import pytest
import requests
from playwright.sync_api import expect, sync_playwright

from infra import config, names
from infra.emulator import LocalAws
from infra.lambdas.gateway.predictions import ANSWERS, FAILURES, IMAGES, REQUESTS
from model.release.export import pack
from scripts.client import Client, ClientError, Prediction, Problem
from tests.browser import find_chromium
from tests.container import samples
from tests.dicom_files import dicom
from tests.emulator.cloud import Cloud, wait_for
from tests.emulator.production import Prod, without_each_permission
from tests.gateway.visit import Visit
from tests.infra.synthesis import FIXTURE_ENVIRONMENTS, record_for, synthesize
from tests.tiny_model import make_model_dir

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Page

FRAMES = 30
BLANK = 2  # the number of the frame that shows nothing
SCAN = np.asarray(samples.scan(1024, 1024))
IMAGE = samples.png(samples.scan())
ENDPOINT = names.endpoint("queued", mode="async")


class Queued(Prod):
    """An asynchronous environment, with a real model."""

    model: Path

    def publish_model(self, **_behaviour: object) -> None:
        body = pack({path.name: path.read_bytes() for path in self.model.iterdir()})
        self.cloud.s3.put_object(**self.artifact, Body=body)  # type: ignore[arg-type]

    @property
    def key(self) -> str:
        return self.cloud.api_key(self.outputs("gateway"))

    @property
    def bucket(self) -> str:
        return self.outputs("registry")["AsyncBucketName"]

    def keys(self, prefix: str) -> set[str]:
        return {*self.cloud.keys(self.bucket, f"{prefix}/")}

    def instances(self, endpoint: str = ENDPOINT) -> int:
        (variant,) = self.cloud.sagemaker.describe_endpoint(EndpointName=endpoint)["ProductionVariants"]
        return variant["DesiredInstanceCount"]

    def ask(self, method: str, path: str, **sent: Any) -> requests.Response:
        return requests.request(method, self.url + path, headers={"x-api-key": self.key}, timeout=60, **sent)

    def queue(self, location: str, endpoint: str = ENDPOINT) -> str:
        """Queue what lies in S3, past the gateway; return where a failure would be."""
        queued = self.cloud.runtime.invoke_endpoint_async(
            EndpointName=endpoint,
            InputLocation=location,
            ContentType="application/octet-stream",
            CustomAttributes="frame=all",
        )
        return queued["FailureLocation"].removeprefix(f"s3://{self.bucket}/")

    def messages(self, queue: str) -> list[dict[str, Any]]:
        """Take what SageMaker has announced since the last call."""
        sqs = self.client("sqs")
        found = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
        for each in found:
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=each["ReceiptHandle"])
        return [json.loads(json.loads(each["Body"])["Message"]) for each in found]


@pytest.fixture(scope="module")
def prod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Queued]:
    folder = tmp_path_factory.mktemp("queued")
    record = record_for("queued", folder)
    assembly = synthesize("queued", folder / "out", release=record, environments=FIXTURE_ENVIRONMENTS)
    settings = config.load("queued", folder=FIXTURE_ENVIRONMENTS)
    with LocalAws(port=0, engine="process", log=folder / "aws.log", enforce_policies=True) as aws:
        made = Queued(Cloud(aws), assembly, settings)
        made.model = make_model_dir(folder / "model", logit=2.0)
        made.deploy_all("registry", "endpoint", "gateway")
        yield made


@pytest.fixture(scope="module")
def told(prod: Queued) -> str:
    """A queue that gets what both topics announce."""
    sqs, sns = prod.client("sqs"), prod.client("sns")
    queue = sqs.create_queue(QueueName="told")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    statement = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": arn}
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": json.dumps({"Statement": [statement]})})
    topics = [each["TopicArn"] for each in sns.list_topics()["Topics"]]
    assert len(topics) == 2
    for topic in topics:
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    return str(queue)


@pytest.fixture(scope="module")
def scans() -> bytes:
    """A file of more than 60 MB and 25 megapixels."""
    frames = np.repeat(SCAN[np.newaxis], FRAMES, axis=0)
    frames[BLANK - 1] = 9
    file = dicom(frames)
    assert len(file) > 60_000_000
    return file


@pytest.fixture
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        yield browser.new_page()
        browser.close()


def test_a_large_file_is_answered_from_zero_and_back_to_zero(prod: Queued, scans: bytes) -> None:
    wait_for(lambda: prod.instances() == 0, timeout_s=30)
    with closing(Client(prod.url, api_key=prod.key)) as client:
        seen: list[int] = []  # instances, between the client's questions

        def pause(seconds: float) -> None:
            seen.append(prod.instances())
            time.sleep(seconds)

        with mock.patch.object(client, "_pause", pause):
            answers = client.predict_frames(scans)
        assert 1 in seen
        assert [each.frame for each in answers] == list(range(1, FRAMES + 1))
        problems = [each for each in answers if isinstance(each, Problem)]
        assert [(each.frame, each.status, "blank" in each.detail) for each in problems] == [
            (BLANK, 422, True)
        ]
        alone, first = client.predict(scans, frame=1, heatmap=True), answers[0]
        assert isinstance(first, Prediction)
        assert (alone.probability, alone.label) == (first.probability, first.label)
        assert alone.heatmap
        # An image that is no more than a request may hold is not uploaded
        small = client.predict(IMAGE)
        assert client.label(small.request_id, "NO").label == "NO"
    wait_for(lambda: prod.instances() == 0, timeout_s=30)


def test_the_page_uploads_a_large_file_and_shows_the_answer(
    prod: Queued, scans: bytes, tmp_path: Path, page: Page
) -> None:
    # Given the page, and a key that a person enters
    path = tmp_path / "scans.dcm"
    path.write_bytes(scans)
    visit, errors = Visit(page, prod.url), list[str]()
    page.on("request", lambda sent: visit.requests.append(f"{sent.method} {sent.url}"))
    page.on("console", lambda message: errors.append(message.text))
    visit.open()
    page.fill("#key", prod.key)
    page.click("#use-key")
    # When a frame of a large file is chosen
    page.set_input_files("#file", path)
    visit.expect_problem("Several frames", f"This file has {FRAMES} frames.")
    page.fill("#choice input", "3")
    page.click("#choice button")
    # Then the file was uploaded past the gateway, and the answer is shown
    visit.expect_answer("YES")
    assert any(each.startswith("POST") and prod.bucket in each for each in visit.requests)
    # And what is refused is a problem
    page.fill("#choice input", str(BLANK))
    page.click("#choice button")
    expect(page.locator("#reason")).to_contain_text("blank")
    assert errors == [each for each in errors if "422" in each]


def test_an_upload_may_fail_be_late_or_never_come(prod: Queued) -> None:
    answers = prod.keys(ANSWERS)
    begun = prod.ask("POST", "/predictions").json()
    path, url, form = f"/{begun['status_url']}", begun["upload_url"], begun["upload_fields"]
    assert [prod.ask(method, path).status_code for method in ("GET", "POST")] == [202, 409]
    wrong = requests.post(url, {**form, "Content-Type": "text/html"}, files={"file": IMAGE})
    assert wrong.status_code == 403
    late = prod.cloud.s3.generate_presigned_post(prod.bucket, f"{IMAGES}/any", ExpiresIn=1)
    time.sleep(2)
    with (
        closing(Client(prod.url)) as client,
        pytest.raises(ClientError, match="refused with 403: begin again"),
    ):
        client._upload(late["url"], late["fields"], IMAGE)
    assert requests.post(url, form, files={"file": IMAGE}).ok
    for _ in range(2):
        assert prod.ask("POST", path).status_code in (200, 202)
    wait_for(lambda: prod.ask("GET", path).status_code == 200)
    assert len(prod.keys(ANSWERS) - answers) == 1, "asked twice, inferred once"
    prod.cloud.s3.delete_object(Bucket=prod.bucket, Key=f"{REQUESTS}/{begun['id']}.json")
    assert prod.ask("GET", path).status_code == 410
    assert requests.post(f"{prod.url}/predictions", timeout=60).status_code == 403


def test_what_waits_for_an_endpoint_that_is_deleted_fails(prod: Queued, scans: bytes) -> None:
    prod.cloud.s3.put_object(Bucket=prod.bucket, Key=f"{IMAGES}/large", Body=scans)
    named = prod.outputs("endpoint")["EndpointConfigName"]
    endpoint = prod.cloud.endpoint(named)
    failures = {prod.queue(f"s3://{prod.bucket}/{IMAGES}/large", endpoint) for _ in range(5)}
    prod.cloud.delete(endpoint)
    left = failures & prod.keys(FAILURES)
    assert len(left) >= 2
    content = json.loads(prod.cloud.read(prod.bucket, min(left)))
    assert content == {"failureReason": "The endpoint was deleted."}


def failure(prod: Queued, told: str) -> str:
    """Return what does not work of an upload, its answer, a failure, and the news of both."""
    prod.messages(told)
    missing = prod.queue(f"s3://{prod.bucket}/{IMAGES}/{uuid4()}")
    begun = prod.ask("POST", "/predictions")
    if begun.status_code != 202:
        return begun.text
    path, form = f"/{begun.json()['status_url']}", begun.json()["upload_fields"]
    uploaded = requests.post(begun.json()["upload_url"], form, files={"file": IMAGE})
    if not uploaded.ok:
        return uploaded.text
    answer = prod.ask("POST", path)
    while answer.status_code == 202:
        time.sleep(0.1)
        answer = prod.ask("GET", path)
    if answer.status_code != 200:
        return answer.text
    statuses, deadline = set[str](), time.monotonic() + 4
    while time.monotonic() < deadline and len(statuses) < 2:
        statuses |= {each["invocationStatus"] for each in prod.messages(told)}
        time.sleep(0.1)
    if statuses != {"Completed", "Failed"} or missing not in prod.keys(FAILURES):
        return f"only {statuses} was told"
    asked = {"attributes": "", "at": time.time(), "answer": f"{ANSWERS}/none", "failure": missing}
    key = f"{REQUESTS}/{begun.json()['id']}.json"
    prod.cloud.s3.put_object(Bucket=prod.bucket, Key=key, Body=json.dumps(asked).encode())
    failed = prod.ask("GET", path)
    return "" if failed.status_code == 502 else failed.text


@pytest.mark.slow
def test_each_permission_of_the_queue_is_needed(prod: Queued, told: str) -> None:
    assert failure(prod, told) == ""
    tried, needless = [], []
    for role in ("model", "lambda"):
        for action, on in without_each_permission(prod.client("iam"), prod.role(role)):
            resource = json.dumps(on)
            if prod.bucket in resource or action in ("sns:Publish", "sagemaker:InvokeEndpointAsync"):
                if "-async" not in resource and action == "sagemaker:InvokeEndpointAsync":
                    continue  # the endpoint in another mode
                tried.append(action)
                if not failure(prod, told):
                    needless.append((role, action, resource))
    assert needless == []
    assert sorted(tried) == [
        *["s3:GetObject"] * 4, "s3:ListBucket", *["s3:PutObject"] * 4,
        "sagemaker:InvokeEndpointAsync", *["sns:Publish"] * 2,
    ]  # fmt: skip
