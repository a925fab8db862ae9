"""Each classified or refused image is counted once in the log, and nothing else is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from infra.lambdas.gateway import metrics
from tests.gateway.events import event
from tests.gateway.sagemaker import MODEL, PREDICTION, model_error, prediction, refusal
from tests.http_server import Reply

if TYPE_CHECKING:
    from infra.lambdas.gateway.proxy import Event
    from tests.gateway.conftest import Send
    from tests.gateway.sagemaker import FakeSageMaker


def line(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    (line,) = capsys.readouterr().out.splitlines()
    parsed: dict[str, Any] = json.loads(line)
    return parsed


@pytest.mark.parametrize(
    ("reply", "counted"),
    [
        (prediction(), metrics.YES),
        (prediction(label="NO", **{"class": 0}), metrics.NO),
        (refusal(), metrics.REFUSED),
    ],
)
def test_each_image_is_counted_once(
    send: Send, sagemaker: FakeSageMaker, capsys: pytest.CaptureFixture[str], reply: Reply, counted: str
) -> None:
    sagemaker.default = reply
    send(event("predict_image"))
    logged = line(capsys)
    assert {name: logged[name] for name in metrics.OUTCOMES} == {
        name: int(name == counted) for name in metrics.OUTCOMES
    }
    (directive,) = logged["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == metrics.NAMESPACE
    assert directive["Dimensions"] == [[metrics.DIMENSION]]
    assert logged[metrics.DIMENSION] == "tumor-detector-test-real-time"
    assert directive["Metrics"] == [{"Name": name, "Unit": "Count"} for name in metrics.OUTCOMES]
    assert logged["_aws"]["Timestamp"] > 1_600_000_000_000  # milliseconds
    assert logged["model_version"] == "3"


def test_what_is_watched_is_logged_and_not_answered(
    send: Send, sagemaker: FakeSageMaker, capsys: pytest.CaptureFixture[str]
) -> None:
    statistics = {"format": "png", "side": 512.0, "score": 0.98}
    sagemaker.default = prediction(statistics=statistics)
    assert "statistics" not in send(event("predict_image")).json
    assert line(capsys)["watched"] == {
        "probability": PREDICTION["probability"],
        "model_sha256": MODEL["sha256"],
        **statistics,
    }


@pytest.mark.parametrize(
    ("sent", "reply"),
    [
        (event("get_page", path="/health"), Reply()),
        (event("predict_image", body=b""), Reply()),
        (event("predict_image"), model_error(415, "{}")),
        (event("predict_image"), model_error(500, "{}")),
        (event("predict_image"), prediction(label="MAYBE")),
        ({**event("predict_image"), "requestContext": {"requestId": f"{metrics.UNCOUNTED}101"}}, Reply()),
    ],
)
def test_nothing_else_is_counted(
    send: Send, sagemaker: FakeSageMaker, capsys: pytest.CaptureFixture[str], sent: Event, reply: Reply
) -> None:
    sagemaker.default = reply
    send(sent)
    assert not {"_aws", *metrics.OUTCOMES} & line(capsys).keys()
