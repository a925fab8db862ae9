"""What a worker makes of an image, whatever happens over it."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING
from unittest.mock import Mock

import pytest

from container.predictor import Predictor
from container.worker import answer

from . import pictures

if TYPE_CHECKING:
    from pathlib import Path

IMAGE = pictures.png(pictures.scan())


def test_the_answer_is_the_predictors(model_dir: Path) -> None:
    predictor = Predictor.load(model_dir)
    for heatmap in (False, True):
        reply = answer(predictor, IMAGE, heatmap=heatmap)
        assert reply.status == 200
        assert json.loads(reply.body) == json.loads(json.dumps(predictor.predict(IMAGE, heatmap=heatmap)))
        assert reply.decode_us > 0
        assert reply.inference_us > 0


def test_a_refusal_is_the_problem_that_it_is(model_dir: Path, picky_model_dir: Path) -> None:
    broken = answer(Predictor.load(model_dir), IMAGE[:-30], heatmap=False)
    assert broken.status == json.loads(broken.body)["status"] == 400
    assert broken.inference_us == 0
    bright = pictures.png(pictures.scan().point(lambda level: 255 - level // 2))
    unlike = answer(Predictor.load(picky_model_dir), bright, heatmap=False)
    assert unlike.status == json.loads(unlike.body)["status"] == 422
    assert json.loads(unlike.body)["score_threshold"] == 0.5
    assert unlike.inference_us > 0  # the network itself has refused it


@pytest.mark.parametrize("where", ["see", "judge"])
def test_a_failure_of_ours_is_told_to_the_log_only(where: str, caplog: pytest.LogCaptureFixture) -> None:
    predictor = Mock(spec=Predictor)
    getattr(predictor, where).side_effect = RuntimeError("a secret of ours")
    if where == "judge":
        predictor.see.return_value = None
    reply = answer(predictor, IMAGE, heatmap=False)
    assert reply.status == json.loads(reply.body)["status"] == 500
    assert b"secret" not in reply.body
    assert b"Traceback" not in reply.body
    assert any(record.exc_info for record in caplog.records)


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_a_network_that_gives_no_number_has_failed(number: float, caplog: pytest.LogCaptureFixture) -> None:
    predictor = Mock(spec=Predictor)
    predictor.judge.return_value = {"probability": number}
    assert answer(predictor, IMAGE, heatmap=False).status == 500
    assert any(record.exc_info for record in caplog.records)
