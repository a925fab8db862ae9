"""Callers of a gateway, and what they were answered."""

from __future__ import annotations

import threading
import time
from itertools import pairwise
from typing import TYPE_CHECKING

import requests

from model import phantom

if TYPE_CHECKING:
    from collections.abc import Mapping

IMAGE = phantom.png(seed=7, lesion=True)


def served(url: str) -> str:
    """Predict one image, and return the hash of the model that did."""
    answer = requests.post(f"{url}/predict", data=IMAGE, headers={"Content-Type": "image/png"}, timeout=60)
    assert answer.status_code == 200, answer.text
    sha256: str = answer.json()["model"]["sha256"]
    return sha256


class ConstantLoad:
    """Callers who predict one image after another, and what they were answered.

    Parameters
    ----------
    pause_s
        Of each caller after each answer, which leaves the machine to others.
    headers
        What lets the callers in, where the gateway asks for it.
    """

    def __init__(
        self, url: str, *, callers: int = 4, pause_s: float = 0.0, headers: Mapping[str, str] | None = None
    ) -> None:
        self.url = url
        self._headers = {"Content-Type": "image/png", **(headers or {})}
        self.pause_s = pause_s
        self.served: list[str] = []
        self.failures: list[str] = []
        self._stop = threading.Event()
        self._served_at: list[float] = []
        self._threads = [threading.Thread(target=self._call) for _ in range(callers)]

    @property
    def longest_wait_s(self) -> float:
        """The longest time in which nobody was answered."""
        return max(later - sooner for sooner, later in pairwise(self._served_at))

    def _call(self) -> None:
        with requests.Session() as session:
            while not self._stop.is_set():
                try:
                    answer = session.post(
                        f"{self.url}/predict", data=IMAGE, headers=self._headers, timeout=60
                    )
                    if answer.status_code == 200:
                        self.served.append(answer.json()["model"]["sha256"])
                        self._served_at.append(time.monotonic())
                    else:
                        self.failures.append(f"{answer.status_code}: {answer.text}")
                except requests.RequestException as error:
                    self.failures.append(repr(error))
                time.sleep(self.pause_s)

    def __enter__(self) -> ConstantLoad:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
