"""Whatever is sent as a form is judged, or refused by the contract."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.fuzz import forms, images
from tests.fuzz.explore import explore

if TYPE_CHECKING:
    from tests.fuzz.laptop import Gateway

LONGEST_S = 10.0  # of the 25 that the endpoint may take; measured: 2

pytestmark = pytest.mark.usefixtures("unharmed")


def test_odd_forms_are_judged_or_refused(gateway: Gateway, seconds: float) -> None:
    def holds(form: forms.Form) -> None:
        answer = gateway.predict(form.body, form.content_type, kind="odd forms")
        gateway.contract.hold_prediction(answer)

    explore(forms.odd(), holds, seconds=seconds / 4)


LONG = {
    "80,000 parts": b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n\r\n' * 80_000,
    "400,000 delimiters": b"--b\r\n" * 400_000,
    "a million semicolons": b"--b\r\nContent-Disposition: form-data" + b";" * 10**6 + b"\r\n\r\n\r\n",
    "100 parts of many parameters": (b"--b\r\nContent-Disposition: x" + b";" * 8_000 + b"\r\n\r\n\r\n") * 100,
    "700,000 headers": b"--b\r\n" + b"X: y\r\n" * 680_000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("name", LONG)
def test_the_longest_forms_are_answered_in_time(gateway: Gateway, name: str) -> None:
    image = images.whole()["PNG, L"]
    named = b'--b\r\nContent-Disposition: form-data; name="image"\r\n\r\n' + image + b"\r\n--b--\r\n"
    began = time.monotonic()
    answer = gateway.predict(LONG[name] + named, "multipart/form-data; boundary=b", kind="longest forms")
    assert answer.status in {200, 400}, answer
    assert time.monotonic() - began < LONGEST_S
