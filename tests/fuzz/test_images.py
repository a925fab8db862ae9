"""Whatever is sent as an image is classified, or refused by the contract; no process dies or grows."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.fuzz import images
from tests.fuzz.generate import generate

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fuzz.deployment import Gateway

CLIENTS = 4

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("unharmed")]


@pytest.mark.parametrize("name", images.whole())
def test_whole_images_of_every_mode_are_classified(gateway: Gateway, name: str) -> None:
    answer = gateway.predict(images.whole()[name], query="?heatmap=true")
    assert answer.status == 200, answer.body
    gateway.contract.check_prediction(answer)


def test_odd_files_are_classified_or_refused(gateway: Gateway) -> None:
    names = list(images.odd())
    with ThreadPoolExecutor(CLIENTS) as clients:
        answers = clients.map(lambda name: gateway.predict(images.odd()[name]), names)
        for name, answer in zip(names, answers, strict=True):
            assert answer.status < 500, f"{name}: {answer}"
            gateway.contract.check_prediction(answer)


@pytest.mark.parametrize("files", [images.small, images.dicom_files])
def test_broken_images_are_classified_or_refused(
    gateway: Gateway, seconds: float, files: Callable[[], list[bytes]]
) -> None:
    statuses = set()

    def check(data: bytes) -> None:
        answer = gateway.predict(data)
        gateway.contract.check_prediction(answer)
        statuses.add(answer.status)

    generate(images.broken(files()), check, seconds=seconds / 2)
    assert len(statuses) >= 3, statuses
