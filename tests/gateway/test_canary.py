"""The scheduled canary is answered as everybody is, and not counted."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import metrics
from tests.gateway.events import event

if TYPE_CHECKING:
    from tests.gateway.conftest import Send

CANARY = Path(__file__).parents[2] / "infra" / "canary" / "ask.py"


@pytest.mark.parametrize(("request_id", "counted"), [("golden-101", False), ("c6af9ac6-7b61", True)])
def test_only_the_canary_is_not_counted(
    send: Send, capsys: pytest.CaptureFixture[str], request_id: str, counted: bool
) -> None:
    asked = event("predict_image")
    asked["requestContext"]["requestId"] = request_id
    assert send(asked).status == 200
    (line,) = capsys.readouterr().out.splitlines()
    assert ("_aws" in json.loads(line)) is counted


def test_the_canary_calls_itself_so() -> None:
    assert runpy.run_path(str(CANARY))["REQUEST_ID"] == metrics.CANARY
