"""What any answer must be, however odd the request: a prediction, or a problem, by the served document."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote, urlsplit

import requests
from openapi_schema_validator import OAS31Validator

PROBLEM_TYPE = "application/problem+json"
WITHOUT_BODY = {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}
# What may stand in no answer: a trace, or a line of a header that a request has smuggled in.
NEVER = (b"Traceback", b'File "/', b"\r\n")


@dataclass(frozen=True)
class Contract:
    """The OpenAPI document of a deployment."""

    document: dict[str, Any]

    @classmethod
    def at(cls, url: str) -> Contract:
        return cls(requests.get(f"{url}/openapi.json", timeout=30).json())

    def hold(self, answer: Any, *, method: str, path: str) -> None:
        """Fail where an answer is not the contract's."""
        told = f"{method} {path[:100]} was answered {answer.status} {answer.headers}: {answer.body[:500]!r}"
        assert not any(piece in answer.body for piece in NEVER), told
        if method == "HEAD":
            assert answer.body == b"", told
            return
        if answer.status >= HTTPStatus.BAD_REQUEST:
            self._hold_problem(answer, told)
        operation = self.document["paths"].get(unquote(urlsplit(path).path) or "/", {}).get(method.lower())
        if operation is None:
            return
        assert str(answer.status) in operation["responses"], told
        content = self._resolved(operation["responses"][str(answer.status)]).get("content", {})
        media_type = answer.headers.get("content-type", "").partition(";")[0]
        if answer.status not in WITHOUT_BODY:
            assert media_type in content, told
        if media_type == "application/json" and answer.status == HTTPStatus.OK:
            self._validate(content[media_type]["schema"], json.loads(answer.body), told)

    def hold_prediction(self, answer: Any) -> None:
        """Fail where an answer is neither a prediction nor blames the request."""
        assert answer.status == HTTPStatus.OK or 400 <= answer.status < 500, answer
        assert answer.headers["cache-control"] == "no-store", answer.headers
        if answer.status != HTTPStatus.OK:
            return
        told = json.loads(answer.body)
        assert told["class"] == (told["probability"] >= told["threshold"]), told
        assert told["label"] == ("NO", "YES")[told["class"]], told

    def _hold_problem(self, answer: Any, told: str) -> None:
        assert answer.headers["content-type"] == PROBLEM_TYPE, told
        problem = json.loads(answer.body)
        self._validate({"$ref": "#/components/schemas/Problem"}, problem, told)
        assert problem["status"] == answer.status, told
        assert problem["request_id"], told
        if answer.status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:
            assert int(answer.headers["retry-after"]) >= 1, told

    def _validate(self, schema: dict[str, Any], content: Any, told: str) -> None:
        whole = {**schema, "components": self.document["components"]}
        errors = [error.message for error in OAS31Validator(whole).iter_errors(content)]
        assert not errors, f"{errors}\n{told}"

    def _resolved(self, node: dict[str, Any]) -> dict[str, Any]:
        if "$ref" not in node:
            return node
        found: Any = self.document
        for key in node["$ref"].removeprefix("#/").split("/"):
            found = found[key]
        resolved: dict[str, Any] = found
        return resolved
