"""A fake gateway and a client of it."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from scripts import client as module
from scripts.client import Client
from tests.api.fake_gateway import FakeGateway

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def gateway() -> Iterator[FakeGateway]:
    with FakeGateway().running() as fake:
        yield fake


@pytest.fixture
def client(gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """A client that hardly waits between its attempts."""
    monkeypatch.setattr(module, "FIRST_BACKOFF_S", 0.01)
    with closing(Client(gateway.url, timeout_s=5, patience_s=5)) as client:
        yield client
