"""One contract: whatever states a part of it for itself agrees with the one document, or a test fails."""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from openapi_schema_validator import OAS31Validator

from container import predictor
from infra.constructs import gateway_responses
from scripts.delivery.contract import GATEWAY, ROOT, client, document, operations, schemas
from scripts.delivery.contract.schemas import ContractError

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMITTED: dict[str, Any] = json.loads(document.PATH.read_text())
PREDICT: dict[str, Any] = COMMITTED["paths"]["/predict"]["post"]
# A line of a shell's script: what begins with curl, and goes on where a line ends with a backslash.
CURL = re.compile(r"^ *(curl (?:.*\\\n)*.*)$", re.MULTILINE)
PAPERS = ("README.md", "SECURITY.md", "CONTRIBUTING.md")


def test_the_committed_document_is_what_the_code_says() -> None:
    assert document.rendered(document.document()) == document.PATH.read_text(), "run scripts/contract"


def test_the_committed_client_is_what_the_document_says() -> None:
    assert client.source(COMMITTED) == client.PATH.read_text(), "run scripts/contract"


def test_the_client_needs_nothing_but_python() -> None:
    modules = re.findall(r"^(?:from|import) (\w+)", client.PATH.read_text(), re.MULTILINE)
    assert set(modules) <= {
        "__future__", "collections", "contextlib", "dataclasses", "http", "json", "random", "socket",
        "threading", "time", "types", "typing", "urllib",
    }  # fmt: skip


def test_the_client_has_a_method_for_every_operation() -> None:
    written = client.PATH.read_text()
    for path, methods in COMMITTED["paths"].items():
        for method in methods:
            assert re.search(rf'"{method.upper()}",\s*"{re.escape(path)}"', written), f"{method} {path}"


def test_what_the_code_sends_and_nobody_described_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(predictor.Answer.__annotations__, "patient", str)

    with pytest.raises(ContractError, match="differ in patient"):
        document.document()


def test_a_route_that_nobody_described_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    described = operations.operations()
    described["/secret", "GET"] = described.pop(("/health", "GET"))
    monkeypatch.setattr(operations, "operations", lambda: described)

    with pytest.raises(ContractError, match=r"differ in GET /health, GET /secret"):
        document.document()


def test_the_document_follows_the_codes_limits_and_media_types(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "IMAGE_TYPES", ("image/webp",))
    monkeypatch.setattr(operations, "FORM_FIELD", "picture")
    monkeypatch.setattr(schemas, "MAX_IMAGE_BYTES", 7)

    changed = document.document()

    content = changed["paths"]["/predict"]["post"]["requestBody"]["content"]
    assert list(content) == ["image/webp", "multipart/form-data"]
    assert content["multipart/form-data"]["schema"]["required"] == ["picture"]
    assert "MAX_IMAGE_BYTES = 7\n" in client.source(changed)


def test_the_client_follows_the_document() -> None:
    changed = json.loads(json.dumps(COMMITTED))
    changed["components"]["schemas"]["Prediction"]["properties"]["import"] = {"type": "integer"}
    changed["paths"]["/health"]["get"]["responses"]["451"] = {}
    changed["paths"]["/predict"]["post"]["parameters"].append(
        {"name": "X-Plane", "in": "header", "description": "Which.", "schema": {"type": "string"}}
    )
    with pytest.raises(KeyError, match="451"):  # a status that nobody gave a title
        client.source(changed)
    del changed["paths"]["/health"]["get"]["responses"]["451"]

    written = client.source(changed)

    assert "    import_: int | None = None\n" in written
    assert "x_plane: str | None = None" in written
    assert '"X-Plane": x_plane' in written
    compile(written, "client.py", "exec")


def test_api_gateway_answers_with_documented_statuses_and_headers_alone() -> None:
    documented = {int(status) for status in PREDICT["responses"]} | {404}
    answers = gateway_responses.ANSWERS.values()

    assert {answer.status for answer in answers} <= documented
    for answer in answers:
        retried = "Retry-After" in headers_of(str(answer.status))
        assert retried == (answer.retry_after_s is not None), answer


def headers_of(status: str) -> dict[str, Any]:
    """The headers that an answer of this status comes with."""
    answer = PREDICT["responses"].get(status, {})
    if "$ref" in answer:
        answer = COMMITTED["components"]["responses"][answer["$ref"].rpartition("/")[2]]
    headers: dict[str, Any] = answer.get("headers", {})
    return headers


def test_every_documented_answer_names_its_request() -> None:
    for operation in (each for methods in COMMITTED["paths"].values() for each in methods.values()):
        for status, answer in operation["responses"].items():
            shared = answer.get("$ref", "").rpartition("/")[2]
            named = COMMITTED["components"]["responses"][shared] if shared else answer
            assert "X-Request-Id" in named["headers"]
            assert ("Retry-After" in named["headers"]) == (status in {"429", "503"})


def test_the_page_asks_for_documented_paths_alone() -> None:
    parts = [each for each in GATEWAY.rglob("*") if each.suffix in {".js", ".html"}]
    text = "\n".join(each.read_text() for each in parts)
    asked = re.findall(r"\$\{base\}([\w.-]+)(?:\?(\w+)=)?", text)
    linked = re.findall(r'href="([\w./-]+)"', text)

    assert {"predict", "health"} <= {path for path, _ in asked}
    for path in {f"/{path}" for path, _ in asked} | {f"/{link.removeprefix('./')}" for link in linked}:
        assert path in COMMITTED["paths"], path
    parameters = {each["name"] for each in PREDICT["parameters"]}
    assert {name for _, name in asked if name} <= parameters


def examples() -> Iterator[tuple[str, str]]:
    """Every curl command that the project shows, with where it stands."""
    texts = {name: (ROOT / name).read_text() for name in PAPERS}
    texts["the document"] = COMMITTED["info"]["description"]
    for name, scheme in COMMITTED["components"]["securitySchemes"].items():
        texts[name] = scheme["description"]
    for where, text in texts.items():
        for command in CURL.findall(text):
            if "$URL" in command:
                yield where, command.replace("\\\n", " ")


EXAMPLES = list(examples())


def test_every_paper_that_should_has_its_examples() -> None:
    assert {"README.md", "the document", "api_key", "iam", "cognito"} <= {where for where, _ in EXAMPLES}


@pytest.mark.parametrize(("where", "command"), EXAMPLES)
def test_every_example_is_a_request_of_the_document(where: str, command: str) -> None:
    words = shlex.split(command)
    (url,) = (word for word in words if word.startswith("$URL"))
    target = urlsplit(url.removeprefix("$URL"))
    posts = {"--data-binary", "-F"} & set(words)
    operation = COMMITTED["paths"][target.path]["post" if posts else "get"]
    parameters = {each["name"]: each["schema"] for each in operation.get("parameters", [])}
    for name, value in parse_qsl(target.query, strict_parsing=bool(target.query)):
        OAS31Validator(parameters[name]).validate(json.loads(value))
    content = operation.get("requestBody", {}).get("content", {})
    if "-F" in words:
        field, _, _ = words[words.index("-F") + 1].partition("=")
        assert field in content["multipart/form-data"]["schema"]["properties"]
    if "--data-binary" in words:
        (kind,) = re.findall(r"content-type: ([\w/]+)", command.lower())
        assert kind in content
