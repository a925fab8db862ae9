"""An endpoint that answers late, garbage or not at all: the right problem in time, and no more of it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.fuzz.program import FAULTS

if TYPE_CHECKING:
    from tests.fuzz.laptop import Gateway

# docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html
GATEWAY_S = 29.0
SLOW = ("late", "dribbling")
REFUSALS = ("refused without words", "refused in a list", "refused in deep JSON", "refused with odd scores")
STATUSES = {
    **dict.fromkeys(FAULTS, 502),
    **dict.fromkeys(("silent", "cut short", "no HTTP", "not ready"), 503),
    **dict.fromkeys(REFUSALS, 422),
    **dict.fromkeys(SLOW, 504),
    "busy": 429,
    "too slow inside": 504,
    "refused with markup": 400,
}


def assert_serves(failing: Gateway) -> None:
    assert failing.predict(b"good", kind="after a failure").status == 200


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault not in SLOW])
def test_every_failure_of_the_endpoint_is_its_problem(failing: Gateway, fault: str) -> None:
    # When the endpoint fails in one of its ways
    answer = failing.predict(fault.encode(), kind="endpoint fails")
    # Then the problem says which way, no header came of it, and the next request is fine
    assert answer.status == STATUSES[fault], answer
    assert "set-cookie" not in answer.headers
    assert_serves(failing)


def test_an_endpoint_that_is_too_late_is_given_up_in_time(failing: Gateway) -> None:
    # Given two who wait for an endpoint that does not answer, or begins to and does not end
    with ThreadPoolExecutor(len(SLOW) + 1) as crowd:
        list(crowd.map(lambda _: assert_serves(failing), range(9)))  # a Lambda's process for each is up
        began = time.monotonic()
        waiting = [crowd.submit(failing.predict, fault.encode(), kind="endpoint is late") for fault in SLOW]
        # Then others are answered meanwhile
        while not any(each.done() for each in waiting):
            assert_serves(failing)
            time.sleep(1)
        answers = [each.result() for each in waiting]
    # And they are told before API Gateway would give up, which could not say why
    assert time.monotonic() - began < GATEWAY_S
    assert {answer.status for answer in answers} == {504}
    assert_serves(failing)
