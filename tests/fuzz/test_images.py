"""Whatever is sent as an image is judged, or refused by the contract; nothing dies of it or grows."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.fuzz import images
from tests.fuzz.explore import explore

if TYPE_CHECKING:
    from tests.fuzz.laptop import Gateway

AT_ONCE = 4

pytestmark = pytest.mark.usefixtures("unharmed")


@pytest.mark.parametrize("name", images.whole())
def test_whole_images_of_every_mode_are_judged(gateway: Gateway, name: str) -> None:
    answer = gateway.predict(images.whole()[name], kind="whole images", query="?heatmap=true")
    assert answer.status == 200, answer.body
    gateway.contract.hold_prediction(answer)


def test_odd_files_are_judged_or_refused(gateway: Gateway) -> None:
    names = list(images.odd())
    with ThreadPoolExecutor(AT_ONCE) as crowd:
        answers = crowd.map(lambda name: gateway.predict(images.odd()[name], kind="odd files"), names)
        for name, answer in zip(names, answers, strict=True):
            assert answer.status < 500, f"{name}: {answer}"
            gateway.contract.hold_prediction(answer)


def test_broken_images_are_judged_or_refused(gateway: Gateway, seconds: float) -> None:
    def holds(data: bytes) -> None:
        gateway.contract.hold_prediction(gateway.predict(data, kind="broken images"))

    explore(images.broken(), holds, seconds=seconds / 2)
