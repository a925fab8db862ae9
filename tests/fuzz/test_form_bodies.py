"""Whatever is sent as a form is classified, or refused by the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fuzz import form_bodies, images
from tests.fuzz.generate import generate

if TYPE_CHECKING:
    from tests.fuzz.deployment import Gateway

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("unharmed")]

LONG = {
    "80,000 parts": b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n\r\n' * 80_000,
    "400,000 delimiters": b"--b\r\n" * 400_000,
    "a million semicolons": b"--b\r\nContent-Disposition: form-data" + b";" * 10**6 + b"\r\n\r\n\r\n",
    "100 parts of many parameters": (b"--b\r\nContent-Disposition: x" + b";" * 8_000 + b"\r\n\r\n\r\n") * 100,
    "700,000 headers": b"--b\r\n" + b"X: y\r\n" * 680_000 + b"\r\n\r\n",
}


def test_odd_forms_are_classified_or_refused(gateway: Gateway, seconds: float) -> None:
    def check(form: form_bodies.Form) -> None:
        answer = gateway.predict(form.body, form.content_type)
        gateway.contract.check_prediction(answer)

    generate(form_bodies.odd(), check, seconds=seconds / 4)


@pytest.mark.parametrize("name", LONG)
def test_the_longest_forms_are_answered_before_the_lambda_times_out(gateway: Gateway, name: str) -> None:
    image = images.whole()["PNG, L"]
    named = b'--b\r\nContent-Disposition: form-data; name="image"\r\n\r\n' + image + b"\r\n--b--\r\n"
    answer = gateway.predict(LONG[name] + named, "multipart/form-data; boundary=b")
    assert answer.status in {200, 400}, answer
