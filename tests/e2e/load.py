"""Clients of a gateway that predict without a pause, and what they received."""

from __future__ import annotations

import threading
import time
from itertools import pairwise

import requests

from model.data import phantom

IMAGE = phantom.png(seed=7, lesion=True)


def predict(url: str, **headers: str) -> requests.Response:
    headers = {"Content-Type": "image/png", **headers}
    return requests.post(f"{url}/predict", data=IMAGE, headers=headers, timeout=60)


def assert_problem(response: requests.Response, status: int) -> None:
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"].startswith("application/problem+json")
    assert {"type", "title", "status", "detail", "request_id"} <= response.json().keys()
    assert response.json()["status"] == status
    assert response.headers["X-Request-Id"] == response.json()["request_id"]
    assert "Traceback" not in response.text


def serving_model(url: str) -> str:
    """Predict one image, and return the hash of the model that did."""
    response = predict(url)
    assert response.status_code == 200, response.text
    sha256: str = response.json()["model"]["sha256"]
    return sha256


class ConstantLoad:
    """Clients that predict one image after another while the block runs.

    Parameters
    ----------
    pause_s
        Between a client's response and its next request.

    Attributes
    ----------
    served
        The hashes of the models that predicted, in order.
    failures
        Status and body of every other response.
    """

    def __init__(self, url: str, *, clients: int = 4, pause_s: float = 0.0) -> None:
        self.served: list[str] = []
        self.failures: list[str] = []
        self._url = url
        self._pause_s = pause_s
        self._stop = threading.Event()
        self._served_at: list[float] = []
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]

    @property
    def longest_gap_s(self) -> float:
        """The longest time between two predictions of any clients."""
        return max(later - sooner for sooner, later in pairwise(self._served_at))

    def _run(self) -> None:
        with requests.Session() as session:
            session.headers["Content-Type"] = "image/png"
            while not self._stop.is_set():
                try:
                    response = session.post(f"{self._url}/predict", data=IMAGE, timeout=60)
                    if response.status_code == 200:
                        self.served.append(response.json()["model"]["sha256"])
                        self._served_at.append(time.monotonic())
                    else:
                        self.failures.append(f"{response.status_code}: {response.text}")
                except requests.RequestException as error:
                    self.failures.append(repr(error))
                time.sleep(self._pause_s)

    def __enter__(self) -> ConstantLoad:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
