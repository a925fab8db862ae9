"""What SageMaker itself asks of a container beyond `/ping` and `/invocations`: headers, Batch Transform."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, cast

import pytest

from container.limits import MAX_IMAGE_BYTES
from container.predictor import Predictor

from . import pictures
from .serving import answer_on

if TYPE_CHECKING:
    from pathlib import Path

    from .serving import Answer, Server

IMAGE = pictures.png(pictures.scan())
ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"


@pytest.mark.parametrize(
    "accept",
    [
        *("", "*/*", "application/json", "Application/JSON", "application/*"),
        *("application/json; charset=utf-8", "text/html, application/json;q=0.5", "text/*,*/*;q=0.1"),
    ],
)
def test_who_takes_json_gets_it(server: Server, accept: str) -> None:
    answer = server.judge(IMAGE, Accept=accept)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    "accept", ["text/csv", "application/jsonlines", "image/*", "text/html, application/xml;q=0.9", "json"]
)
def test_who_takes_no_json_is_told_that_there_is_nothing_else(server: Server, accept: str) -> None:
    answer = server.judge(IMAGE, Accept=accept)
    assert answer.status == 406
    assert answer.headers["content-type"] == "application/problem+json"
    assert accept in str(answer.json()["detail"])


@pytest.mark.parametrize("value", ["trace-id=1a2b", "a=1;heatmap=true", "", "x" * 1024])
@pytest.mark.parametrize(("image", "status"), [(IMAGE, 200), (b"text", 415)], ids=["judged", "refused"])
def test_custom_attributes_come_back_as_they_were(
    server: Server, value: str, image: bytes, status: int
) -> None:
    answer = server.judge(image, **{ATTRIBUTES: value})
    assert answer.status == status
    assert answer.headers[ATTRIBUTES.lower()] == value
    assert ATTRIBUTES.lower() not in server.judge(image).headers


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        *[("heatmap=true", True), ("a=1, HEATMAP=TRUE", True), ("a=1;heatmap=true", True)],
        *[("heatmap=false", False), ("heatmap", False), ("noheatmap=true", False), ("heatmap=true1", False)],
    ],
)
def test_one_custom_attribute_is_ours(server: Server, value: str, *, wanted: bool) -> None:
    assert ("heatmap" in server.judge(IMAGE, **{ATTRIBUTES: value}).json()) == wanted


def test_the_log_names_a_request_as_its_caller_does(server: Server) -> None:
    request_id, traceparent = "c6af9ac6-7b61-11e6-9a41-93e8deadbeef", f"00-{'4b' * 16}-{'f0' * 8}-01"

    server.judge(IMAGE, **{ATTRIBUTES: f"heatmap=true;request_id={request_id};traceparent={traceparent}"})

    line = server.wait_for("request", lambda line: line.get("request_id") == request_id)
    assert (line["traceparent"], line["status"]) == (traceparent, 200)


@pytest.mark.parametrize("name", ["x" * 65, "PLANTED <b>", "PLANTED\u00e9", "PLANTED=1"])
def test_the_log_takes_no_name_of_another_form(server: Server, name: str) -> None:
    server.judge(IMAGE, **{ATTRIBUTES: f"request_id={name}"})

    server.judge(IMAGE, **{ATTRIBUTES: "request_id=the-next"})
    server.wait_for("request", lambda line: line.get("request_id") == "the-next")
    assert not [line for line in server.output if name in line or "PLANTED" in line]


def test_ping_says_what_serves_and_with_how_many(server: Server) -> None:
    count = len(server.workers())
    assert server.ask("GET", "/ping").json() == {
        "status": "ok",
        "model": {"name": "tumor-detector", "version": "7", "sha256": "ab" * 32},
        "workers": {"ready": count, "wanted": count},
    }


# Batch Transform asks for its parameters first, where the job leaves them open, then sends each object of the
# bucket as it is (SplitType None): with the job's ContentType, or none's default, and its Accept. It keeps
# up to MaxConcurrentTransforms requests under way, and writes each answer's body to OBJECT.out.


def parameters(server: Server) -> dict[str, object]:
    answer = server.ask("GET", "/execution-parameters")
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    return answer.json()


def test_batch_transform_is_told_to_send_whole_images(server: Server) -> None:
    told = parameters(server)
    assert told.keys() == {"BatchStrategy", "MaxConcurrentTransforms", "MaxPayloadInMB"}
    assert told["BatchStrategy"] == "SINGLE_RECORD"
    assert told["MaxPayloadInMB"] == MAX_IMAGE_BYTES / 2**20 == 4
    assert cast("int", told["MaxConcurrentTransforms"]) >= len(server.workers())


def transform(server: Server, objects: dict[str, bytes], content_type: str) -> dict[str, Answer]:
    """Do as a transform job does: several objects at once, each on a connection that stays open."""
    names = iter(objects)

    def work(_: int) -> dict[str, Answer]:
        connection, answers = server.connect(), {}
        for name in names:
            headers = {"content-type": content_type, "accept": "application/json"}
            connection.request("POST", "/invocations", objects[name], headers)
            answers[name] = answer_on(connection)
        connection.close()
        return answers

    with ThreadPoolExecutor() as threads:
        parts = threads.map(work, range(cast("int", parameters(server)["MaxConcurrentTransforms"])))
        return {name: answer for part in parts for name, answer in part.items()}


@pytest.mark.parametrize("content_type", ["application/octet-stream", "image/png"])
def test_batch_transform_gets_each_objects_own_answer(
    server: Server, model_dir: Path, content_type: str
) -> None:
    # Given a bucket's folder of images in different sizes and forms
    scans = {f"scan-{width}": pictures.scan(width, 90) for width in range(60, 220, 8)}
    objects = {f"{name}.png": pictures.png(scan) for name, scan in scans.items()}
    objects |= {f"{name}.jpg": pictures.jpeg(scan) for name, scan in scans.items()}
    # When a job transforms them
    answers = transform(server, objects, content_type)
    # Then each has what the model says of it alone
    predictor = Predictor.load(model_dir, version="7", sha256="ab" * 32)
    assert answers.keys() == objects.keys()
    for name, image in objects.items():
        assert answers[name].status == 200
        assert answers[name].json() == json.loads(json.dumps(predictor.predict(image))), name


def test_an_object_that_is_no_image_fails_alone(server: Server) -> None:
    objects = {"a.png": IMAGE, "b.txt": b"no image", "c.png": IMAGE[:100], "d.png": IMAGE}
    answers = transform(server, objects, "application/octet-stream")
    assert {name: answer.status for name, answer in answers.items()} == {
        "a.png": 200,
        "b.txt": 415,
        "c.png": 400,
        "d.png": 200,
    }
    assert answers["a.png"].body == answers["d.png"].body
