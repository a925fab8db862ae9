"""The real handler against a fake SageMaker; every answer is validated against the OpenAPI document."""

from __future__ import annotations

import base64
import importlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import sync_playwright

from infra.lambdas.gateway import pages
from infra.paths import OPENAPI
from infra.site.render import render_site
from tests.browser import find_chromium
from tests.container import serving
from tests.fuzz.contract import Contract
from tests.gateway.api_gateway import FakeApiGateway
from tests.gateway.label_store import FakeStore
from tests.gateway.sagemaker import FakeSageMaker
from tests.gateway.visit import Visit, draw

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import ModuleType

    from playwright.sync_api import Browser

    from infra.lambdas.gateway.proxy import Envelope, Event
    from tests.gateway.api_gateway import Authorizer

HANDLER = "infra.lambdas.gateway.handler"
MODEL = {"name": "tumor-detector", "version": "3", "sha256": "ab" * 32, "kind": "images", "gates_failed": []}
COLUMNS = ("architecture", *(f"interval_number_{number}" for number in range(12)))
ROWS = (COLUMNS, ["---"] * len(COLUMNS), ["0.911 (0.865 to 0.952)"] * len(COLUMNS))
TABLE = "\n".join(f"| {' | '.join(row)} |" for row in ROWS)
PLOT = f"data:image/png;base64,{base64.b64encode(draw(900, 500)).decode()}"
CARD = f"# The card\n\n![Calibration]({PLOT})\n\n{TABLE}\n\n![no](https://example.org/x.png)\n"
REPORT_VIOLATIONS = "addEventListener('securitypolicyviolation', (it) => console.error(it.violatedDirective))"
render = cache(render_site)


@dataclass(frozen=True)
class Answer:
    """The handler's answer."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


Send = Callable[["Event"], Answer]


@pytest.fixture(scope="session")
def document() -> Any:
    return json.loads(OPENAPI.read_text())


@pytest.fixture(scope="session")
def fakes() -> Iterator[tuple[FakeSageMaker, FakeStore]]:
    with FakeSageMaker().running() as sagemaker, FakeStore().running() as store:
        yield sagemaker, store


@pytest.fixture
def sagemaker(fakes: tuple[FakeSageMaker, FakeStore]) -> FakeSageMaker:
    fakes[0].reset()
    return fakes[0]


@pytest.fixture
def store(fakes: tuple[FakeSageMaker, FakeStore]) -> FakeStore:
    fakes[1].reset()
    return fakes[1]


@pytest.fixture
def environment(sagemaker: FakeSageMaker, store: FakeStore) -> dict[str, str]:
    """The variables that the stack and Lambda set."""
    return {
        "AWS_ENDPOINT_URL_S3": store.url,
        "AWS_ENDPOINT_URL_SECRETS_MANAGER": store.url,
        "ENDPOINT_NAME": "tumor-detector-test-real-time",
        "AUTH": "none",
        "MODEL": json.dumps(MODEL),
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "000000000000",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": sagemaker.url,
        "AWS_ENDPOINT_URL_SAGEMAKER": sagemaker.url,
    }


@pytest.fixture
def card() -> str:
    """The served model's card, with a plot, a remote image, and a table that is wider than a phone."""
    return CARD


@pytest.fixture
def site(environment: dict[str, str], card: str, tmp_path: Path) -> Path:
    """The rendered site, as it lies in the Lambda."""
    folder = tmp_path / "site"
    folder.mkdir()
    auth, region, feedback = environment["AUTH"], environment["AWS_REGION"], "LABEL_BUCKET" in environment
    for name, text in render(auth=auth, region=region, card=card, feedback=feedback).items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def handler(environment: dict[str, str], site: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The handler as a cold start in the environment imports it."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(pages, "SITE", site)
    monkeypatch.delitem(sys.modules, HANDLER, raising=False)
    return importlib.import_module(HANDLER)


@pytest.fixture
def send(handler: ModuleType, sagemaker: FakeSageMaker, document: dict[str, Any]) -> Send:
    """Pass an event to the handler and return its answer, which must follow the contract."""

    contract = Contract(document)

    def send(event: Event) -> Answer:
        envelope: Envelope = json.loads(json.dumps(handler.handle(event, None)))
        answer = Answer(envelope["statusCode"], envelope["headers"], envelope["body"])
        assert not envelope["isBase64Encoded"]
        assert_documented(event, answer, contract)
        return answer

    return send


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def authorizer() -> Authorizer | None:
    """What API Gateway enforces: by default nothing."""
    return None


@pytest.fixture
def visit(
    browser: Browser, handler: ModuleType, sagemaker: FakeSageMaker, authorizer: Authorizer | None
) -> Iterator[Visit]:
    """A visit that must load nothing from elsewhere and never violate the page's own policy."""
    with FakeApiGateway(handler.handle, authorizer).running() as gateway:
        page = browser.new_page()
        visit = Visit(page, gateway.url)
        page.on("request", lambda sent: visit.requests.append(sent.url))
        page.on("pageerror", lambda error: visit.console.append(str(error)))
        page.on("console", lambda message: visit.console.append(message.text))
        page.add_init_script(REPORT_VIOLATIONS)
        yield visit
        page.close()
    # Chromium reports every error status; the test caused those.
    assert [message for message in visit.console if "Failed to load resource" not in message] == []
    origin = gateway.url.partition("/restapis")[0]
    known = (f"{origin}/", *(f"{each}/" for each in visit.other_origins), "blob:", "data:")
    assert [url for url in visit.requests if not url.startswith(known)] == []


def assert_documented(event: Event, answer: Answer, contract: Contract) -> None:
    given, request_id = event["requestContext"]["requestId"], answer.headers["X-Request-Id"]
    assert given in (request_id, request_id.rpartition("-")[0])  # without or with its check
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    policy = set(answer.headers["Content-Security-Policy"].split("; "))
    assert policy >= {"default-src 'none'", "frame-ancestors 'none'"}
    headers = {name.lower(): value for name, value in answer.headers.items()}
    received = serving.Answer(answer.status, headers, answer.text.encode())
    path = event["resource"].replace("{proxy+}", (event["pathParameters"] or {}).get("proxy", ""))
    documented = contract.check(received, method=event["httpMethod"], path=path)
    assert documented.get("headers", {}).keys() <= answer.headers.keys()
    if answer.status >= 400 and answer.text:
        assert answer.json["request_id"] == request_id
