"""The handler answers every event that hypothesis generates as the contract requires."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from tests.fuzz.generate import generate
from tests.gateway.events import event

if TYPE_CHECKING:
    import pytest

    from infra.lambdas.gateway.proxy import Event
    from tests.gateway.conftest import Send

PATHS = ("/", "/predict", "/health", "/docs", "/openapi.json", "/model-card")
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH")
HEADERS = ("Content-Type", "Accept", "Origin", "traceparent", "Authorization", "X-Request-Id", "Host")
MEDIA_TYPES = (
    "image/png",
    "IMAGE/JPEG",
    "image/png; a=b",
    "multipart/form-data; boundary=b",
    "text/markdown",
    "application/octet-stream",
    "application/dicom",
)
ODD_VALUES = ("a\r\nX-Evil: 1", "\0", "x" * 9_000, "*/*;q=nonsense", ";" * 5_000)
VALUES = st.one_of(st.text(max_size=40), st.sampled_from([*MEDIA_TYPES, *ODD_VALUES]))
BODIES = st.one_of(
    st.none(),
    st.text(max_size=50),
    st.binary(max_size=100).map(lambda raw: base64.b64encode(raw).decode()),
    st.just(base64.b64encode(b'--b\r\nContent-Disposition: x; name="image"\r\n\r\nx\r\n--b--').decode()),
)
MAPPINGS = st.dictionaries(st.text(max_size=20), VALUES, max_size=3)


@st.composite
def events(draw: st.DrawFn) -> Event:
    """An event of the right form, with anything in it that a client chooses."""
    path = draw(st.one_of(st.sampled_from(PATHS), st.text(max_size=200).map(lambda text: f"/{text}")))
    made: Any = event("get_page", method=draw(st.sampled_from(METHODS)), path=path)
    headers = draw(st.dictionaries(st.sampled_from(HEADERS), VALUES, max_size=4))
    made["headers"] = draw(st.one_of(st.none(), st.just({**draw(MAPPINGS), **headers})))
    query = draw(st.dictionaries(st.sampled_from(("heatmap", "preview", "frame")), VALUES))
    made["queryStringParameters"] = {**draw(MAPPINGS), **query} or None
    made["body"], made["isBase64Encoded"] = draw(BODIES), draw(st.booleans())
    checked: Event = made
    return checked


def test_any_event_is_answered_by_the_contract(
    send: Send, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    def holds(made: Event) -> None:
        answer = send(made)
        assert answer.status < 500, answer
        for name, value in answer.headers.items():
            assert re.fullmatch(r"[A-Za-z0-9-]+", name), answer.headers
            assert re.fullmatch(r"[\x20-\x7e]*", value), answer.headers
        (line,) = capsys.readouterr().out.splitlines()
        assert json.loads(line)["status"] == answer.status

    generate(events(), holds, seconds=request.config.getoption("--fuzz-seconds") / 8)
