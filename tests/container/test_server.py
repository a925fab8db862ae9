"""SageMaker's hosting contract, over a real socket."""

from __future__ import annotations

import asyncio
import json
import math
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, cast
from unittest.mock import AsyncMock, Mock

import pytest
from PIL import Image

from container.limits import MAX_IMAGE_BYTES
from container.pool import Pool
from container.server import MAX_IN_FLIGHT, Application

from . import pictures
from .serving import answer_on, serving
from .wires import connect, head

if TYPE_CHECKING:
    from pathlib import Path

    from uvicorn._types import HTTPScope

    from .serving import Answer, Server

SCAN = pictures.scan()
IMAGE = pictures.png(SCAN)
MIB = 2**20


def assert_problem(answer: Answer, status: int) -> None:
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["type"] == "about:blank"
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    assert "Traceback" not in str(problem)


def test_ping_answers_once_the_model_has_answered(server: Server) -> None:
    answer = server.ask("GET", "/ping")
    assert answer.status == 200


@pytest.mark.parametrize("media_type", ["image/jpeg", "image/png", "application/octet-stream"])
@pytest.mark.parametrize("image", [IMAGE, pictures.jpeg(SCAN)], ids=["PNG", "JPEG"])
def test_the_bytes_decide_under_any_image_type(server: Server, media_type: str, image: bytes) -> None:
    answer = server.judge(image, media_type)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"


def test_the_answer_is_the_contracts(server: Server) -> None:
    answer = server.judge(IMAGE).json()
    assert set(answer) == {"label", "class", "probability", "threshold", "model"}
    assert answer["label"] == "YES"
    assert answer["class"] == 1
    assert answer["threshold"] == 0.5
    assert answer["model"] == {"name": "tumor-detector", "version": "7", "sha256": "ab" * 32}
    probability = answer["probability"]
    assert isinstance(probability, float)
    assert 1 / (1 + math.exp(-2.0)) < probability < 1 / (1 + math.exp(-2.5))


def test_the_heatmap_comes_when_asked_for(server: Server) -> None:
    attributes = {"X-Amzn-SageMaker-Custom-Attributes": "trace=1, heatmap=true"}
    answer = server.judge(IMAGE, **attributes)
    heatmap = answer.json()["heatmap"]
    assert isinstance(heatmap, dict)
    assert (heatmap["width"], heatmap["height"]) == (8, 8)
    assert len(heatmap["values"]) == 8
    assert all(len(row) == 8 and all(0 <= cell <= 1 for cell in row) for row in heatmap["values"])
    assert answer.headers["x-amzn-sagemaker-custom-attributes"] == "trace=1, heatmap=true"


def test_custom_attributes_are_echoed_with_an_error_too(server: Server) -> None:
    answer = server.judge(b"", **{"X-Amzn-SageMaker-Custom-Attributes": "heatmap=false"})
    assert_problem(answer, 400)
    assert answer.headers["x-amzn-sagemaker-custom-attributes"] == "heatmap=false"


BAD_IMAGES = {
    "empty": (b"", 400),
    "truncated JPEG": (pictures.jpeg(SCAN)[:700], 400),
    "truncated PNG": (IMAGE[: len(IMAGE) // 2], 400),
    "20,000 x 20,000 pixels": (pictures.too_many_pixels(), 413),
    "text": (b"not an image", 415),
    "GIF": (pictures.encoded(SCAN, "GIF"), 415),
    "one pixel": (pictures.png(Image.new("L", (1, 1), 128)), 422),
    "blank": (pictures.png(Image.new("L", (200, 200), 128)), 422),
}


@pytest.mark.parametrize("name", BAD_IMAGES)
def test_a_bad_image_is_a_problem(server: Server, name: str) -> None:
    image, status = BAD_IMAGES[name]
    assert_problem(server.judge(image), status)


def test_a_refusal_by_score_carries_it_as_members_of_the_problem(picky_model_dir: Path) -> None:
    bright = pictures.png(SCAN.point(lambda level: 255 - level // 2))
    with serving(picky_model_dir) as picky:
        assert picky.judge(IMAGE).status == 200
        refused = picky.judge(bright)
    assert_problem(refused, 422)
    problem = refused.json()
    assert problem.keys() == {"type", "title", "status", "detail", "score", "score_threshold"}
    score = problem["score"]
    assert isinstance(score, float)
    assert 0 <= score < 0.5 == problem["score_threshold"]


def test_no_body_is_a_bad_request(server: Server) -> None:
    assert_problem(server.ask("POST", "/invocations", headers={"content-type": "image/png"}), 400)


@pytest.mark.parametrize(
    "media_type", [None, "", "text/plain", "application/json", "image/gif", "multipart/form-data"]
)
def test_another_media_type_is_unsupported(server: Server, media_type: str | None) -> None:
    headers = {} if media_type is None else {"content-type": media_type}
    answer = server.ask("POST", "/invocations", IMAGE, headers)
    assert_problem(answer, 415)
    assert "image/png" in answer.headers["accept"]


@pytest.mark.parametrize("media_type", ["Image/PNG", "image/png; charset=binary"])
def test_a_media_type_is_read_as_http_says(server: Server, media_type: str) -> None:
    assert server.judge(IMAGE, media_type).status == 200


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("POST", "/ping", "GET"), ("GET", "/invocations", "POST"), ("DELETE", "/invocations", "POST")],
)
def test_a_wrong_method_is_told_the_right_one(server: Server, method: str, path: str, allowed: str) -> None:
    answer = server.ask(method, path)
    assert_problem(answer, 405)
    assert answer.headers["allow"] == allowed


@pytest.mark.parametrize("path", ["/", "/invocations/", "/ping/..", "/models", "/%00"])
def test_an_unknown_path_is_not_found(server: Server, path: str) -> None:
    assert_problem(server.ask("GET", path), 404)


@pytest.mark.parametrize("size", [MAX_IMAGE_BYTES + 1, 5 * MIB, 30 * MIB])
@pytest.mark.parametrize("chunked", [False, True], ids=["declared", "streamed"])
def test_a_large_body_is_refused_and_memory_stays_flat(server: Server, size: int, *, chunked: bool) -> None:
    server.judge(IMAGE)
    before = server.peak_memory()
    connection = server.connect()
    body = (bytes(MIB) for _ in range(size // MIB + 1)) if chunked else bytes(size)
    connection.request("POST", "/invocations", body, {"content-type": "image/png"}, encode_chunked=chunked)
    assert_problem(answer_on(connection), 413)
    # The connection has not lost its place: the next request on it is answered.
    connection.request("POST", "/invocations", IMAGE, {"content-type": "image/png"})
    assert answer_on(connection).status == 200
    connection.close()
    assert server.peak_memory() - before < 2 * MAX_IMAGE_BYTES + 2 * MIB


@pytest.mark.parametrize("bomb", ["too_many_pixels", "text_bomb"])
def test_memory_stays_flat_under_a_bomb(server: Server, bomb: str) -> None:
    image = {"too_many_pixels": pictures.too_many_pixels, "text_bomb": pictures.text_bomb}[bomb]()
    server.judge(IMAGE)
    before = server.peak_memory()
    assert server.judge(image).status in {400, 413}
    assert server.peak_memory() - before < 16 * MIB


def test_a_crowd_gets_the_answers_that_each_would_get_alone(server: Server) -> None:
    images = [pictures.png(pictures.scan(60 + 8 * step, 90)) for step in range(8)]
    alone = [server.judge(image).json() for image in images]
    with ThreadPoolExecutor(16) as crowd:
        together = list(crowd.map(lambda image: server.judge(image).json(), images * 6))
    assert together == alone * 6


def test_beyond_the_limit_one_is_asked_to_come_back(server: Server) -> None:
    with ExitStack() as stack:
        # Given as many uploads as the server takes, none of them complete
        for _ in range(MAX_IN_FLIGHT):
            upload = stack.enter_context(connect(server.port))
            upload.sendall(head(f"Content-Length: {len(IMAGE)}"))
        # When one more comes (the last of them may still be on their way: then it may go before them)
        answers = (server.judge(IMAGE) for _ in range(1000))
        answer = next(answer for answer in answers if answer.status != 200)
        # Then it is refused for now
        assert_problem(answer, 503)
        assert int(answer.headers["retry-after"]) >= 1
        assert server.ask("GET", "/ping").status == 200
    # And once the others have gone, it is welcome
    answers = (server.judge(IMAGE) for _ in range(1000))
    assert next(answer for answer in answers if answer.status != 503).status == 200


def test_a_failure_of_ours_is_told_to_the_log_only(caplog: pytest.LogCaptureFixture) -> None:
    pool = Mock(spec=Pool)
    pool.judge = AsyncMock(side_effect=RuntimeError("a secret of ours"))
    sent = asyncio.run(answer_in_process(Application(pool, workers=1)))
    assert sent[0]["status"] == 500
    assert (b"content-type", b"application/problem+json") in sent[0]["headers"]
    assert b"secret" not in sent[1]["body"]
    assert b"Traceback" not in sent[1]["body"]
    assert any(record.exc_info for record in caplog.records)


async def answer_in_process(application: Application) -> list[dict[str, Any]]:
    """POST an image to an application with no socket in between."""
    scope = {"method": "POST", "path": "/invocations", "headers": [(b"content-type", b"image/png")]}
    receive = AsyncMock(return_value={"type": "http.request", "body": IMAGE, "more_body": False})
    send = AsyncMock()
    await application(cast("HTTPScope", scope), receive, send)
    return [call.args[0] for call in send.call_args_list]


def test_a_client_that_leaves_midway_disturbs_nobody(server: Server) -> None:
    with connect(server.port) as upload:
        upload.sendall(head("Content-Length: 12345") + b"half of it")
    line = server.wait_for("request", lambda line: line["bytes"] == len(b"half of it"))
    assert line["status"] == 400
    assert server.judge(IMAGE).status == 200


def test_the_log_has_one_line_a_request_and_nothing_of_the_image(server: Server) -> None:
    # Given an image that holds a readable text and is broken, so that whoever wanted could quote it
    secret = "PATIENT-JANE-DOE"
    image = IMAGE + secret.encode()
    broken = pictures.png(SCAN, pnginfo=None)[:40] + secret.encode() * 5
    # When both are sent
    sent = [server.judge(image), server.judge(broken), server.judge(secret.encode())]
    assert [answer.status for answer in sent] == [200, 400, 415]
    server.wait_for("request", lambda line: line["bytes"] == len(secret))
    # Then each has its line, and none of them the text
    lines = [line for line in server.events() if line["event"] == "request"]
    assert [line["status"] for line in lines[-3:]] == [200, 400, 415]
    assert [line["bytes"] for line in lines[-3:]] == [len(image), len(broken), len(secret)]
    assert all({"time", "level", "method", "path", "ms"} <= set(line) for line in lines)
    assert secret not in json.dumps(server.events())


PHASES = ("read_us", "queue_us", "decode_us", "inference_us", "write_us")


def test_the_log_tells_where_a_requests_time_went(server: Server) -> None:
    # Given an image that takes a while to decode, and one that is refused before the network sees it
    large = pictures.jpeg(pictures.scan(1600, 1200))
    server.judge(large)
    server.judge(large[:-1000])
    judged, broken = (
        server.wait_for("request", lambda line, size=size: line["bytes"] == size)  # type: ignore[misc]
        for size in (len(large), len(large) - 1000)
    )
    # Then each has its phases in whole microseconds, which make up no more than the whole
    for line in (judged, broken):
        assert all(isinstance(line[phase], int) and cast("int", line[phase]) >= 0 for phase in PHASES), line
        assert sum(cast("int", line[phase]) for phase in PHASES) <= cast("float", line["ms"]) * 1000 + 10
    assert cast("int", judged["decode_us"]) > 1000
    assert cast("int", judged["inference_us"]) > 0
    assert broken["inference_us"] == 0


def test_what_never_reached_a_worker_has_no_phases_of_it(server: Server) -> None:
    server.ask("POST", "/invocations", b"seventeen letters", {"content-type": "text/plain"})
    line = server.wait_for("request", lambda line: line["status"] == 415 and line["bytes"] == 0)
    assert "write_us" in line
    assert not {"decode_us", "inference_us", "queue_us"} & set(line)
