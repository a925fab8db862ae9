"""The real handler against a SageMaker on this machine; every answer is held against the OpenAPI document."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from openapi_schema_validator import OAS31Validator
from playwright.sync_api import sync_playwright

from tests.browser import find_chromium
from tests.gateway.front import Guard, serving
from tests.gateway.sagemaker import FakeSageMaker
from tests.gateway.visit import Visit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from playwright.sync_api import Browser

    from proxy import Envelope, Event

# The Lambda's files import each other flat, as they lie in the Lambda; last, so that they shadow nothing.
FOLDER = Path(__file__).resolve().parents[2] / "infra" / "gateway"
sys.path.append(str(FOLDER))

MODEL = {"name": "tumor-detector", "version": "3", "sha256": "ab" * 32, "kind": "images", "gates_failed": []}
REPORT_VIOLATIONS = (
    """addEventListener("securitypolicyviolation", (it) => console.error(it.violatedDirective))"""
)


@dataclass(frozen=True)
class Answer:
    """The handler's answer, taken apart."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def media_type(self) -> str:
        return self.headers.get("Content-Type", "").partition(";")[0]

    @property
    def json(self) -> Any:
        return json.loads(self.text)


Send = Callable[["Event"], Answer]


@pytest.fixture(scope="session")
def document() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((FOLDER / "openapi.json").read_text())
    return loaded


@pytest.fixture(scope="session")
def running_sagemaker() -> Iterator[FakeSageMaker]:
    with FakeSageMaker().running() as fake:
        yield fake


@pytest.fixture
def sagemaker(running_sagemaker: FakeSageMaker) -> FakeSageMaker:
    running_sagemaker.reset()
    return running_sagemaker


@pytest.fixture
def environment(running_sagemaker: FakeSageMaker) -> dict[str, str]:
    """What the stack and Lambda itself set."""
    return {
        "ENDPOINT_NAME": "tumor-detector-test-real-time",
        "AUTH": "none",
        "MODEL": json.dumps(MODEL),
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "000000000000",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": running_sagemaker.url,
        "AWS_ENDPOINT_URL_SAGEMAKER": running_sagemaker.url,
    }


@pytest.fixture
def handler(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The handler as a cold start makes it in the environment."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delitem(sys.modules, "handler", raising=False)
    return importlib.import_module("handler")


@pytest.fixture
def send(handler: ModuleType, sagemaker: FakeSageMaker, document: dict[str, Any]) -> Send:
    """Hand an event to the handler and return its answer, which is the contract's or the test fails."""

    def send(event: Event) -> Answer:
        envelope: Envelope = json.loads(json.dumps(handler.handle(event, None)))
        answer = Answer(envelope["statusCode"], envelope["headers"], envelope["body"])
        assert not envelope["isBase64Encoded"]
        assert_documented(event, answer, document)
        return answer

    return send


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def guard() -> Guard | None:
    """Whom API Gateway lets in: everybody, unless a test says otherwise."""
    return None


@pytest.fixture
def elsewhere() -> tuple[str, ...]:
    """The origins besides its own that a visit may lead to."""
    return ()


@pytest.fixture
def visit(  # noqa: PLR0917 - fixtures are asked for by name
    browser: Browser,
    handler: ModuleType,
    sagemaker: FakeSageMaker,
    guard: Guard | None,
    elsewhere: tuple[str, ...],
    request: pytest.FixtureRequest,
) -> Iterator[Visit]:
    """A visit, in which nothing may come from elsewhere or break the page's own policy."""
    options = getattr(request, "param", {})
    with serving(handler.handle, guard) as url:
        page = browser.new_page(**options)
        visit = Visit(page, url)
        page.on("request", lambda asked: visit.requests.append(asked.url))
        page.on("pageerror", lambda fault: visit.complaints.append(str(fault)))
        page.on("console", lambda said: visit.complaints.append(said.text))
        page.add_init_script(REPORT_VIOLATIONS)
        yield visit
        page.close()
    # Chromium itself reports every answer that is an error; those are the test's own doing.
    assert [said for said in visit.complaints if "Failed to load resource" not in said] == []
    origin = url.partition("/restapis")[0]
    known = (f"{origin}/", *(f"{each}/" for each in elsewhere), "blob:", "data:")
    assert [asked for asked in visit.requests if not asked.startswith(known)] == []


def assert_documented(event: Event, answer: Answer, document: dict[str, Any]) -> None:
    path = event["resource"].replace("{proxy+}", (event["pathParameters"] or {}).get("proxy", ""))
    method = event["httpMethod"].lower()
    operation = document["paths"].get(path, {}).get(method)
    if operation is None:  # HEAD and OPTIONS have no body; an unknown path or method is a problem
        schema = {"$ref": "#/components/schemas/Problem"} if answer.text else None
    else:
        documented = resolve(operation["responses"][str(answer.status)], document)
        assert documented.get("headers", {}).keys() <= answer.headers.keys()
        schema = documented["content"][answer.media_type]["schema"]
    if schema and answer.media_type.endswith("json"):
        OAS31Validator({**schema, "components": document["components"]}).validate(answer.json)
    if answer.status >= 400 and method != "head":
        assert answer.media_type == "application/problem+json"
        assert answer.json["status"] == answer.status


def resolve(node: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    """Return what a $ref of the document points at, or the node itself."""
    if "$ref" not in node:
        return node
    return reduce(getitem, node["$ref"].removeprefix("#/").split("/"), document)
