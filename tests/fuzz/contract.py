"""Every response is a prediction or a problem as the served document defines it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from openapi_schema_validator import OAS31Validator

from infra.lambdas.gateway.routes import route
from infra.site.render import resolve

if TYPE_CHECKING:
    from tests.container.serving import Answer

PROBLEM_TYPE = "application/problem+json"
# What no response may contain: a trace, or a header line that a request has smuggled in.
FORBIDDEN = (b"Traceback", b'File "/', b"\r\n")


@dataclass(frozen=True)
class Contract:
    """The OpenAPI document of a deployment."""

    document: dict[str, Any]

    def check(self, answer: Answer, *, method: str, path: str) -> dict[str, Any]:
        """Fail where a response breaks the contract; return its description, if the document has one."""
        shown = f"{method} {path[:100]} was answered {answer.status} {answer.headers}: {answer.body[:500]!r}"
        assert not any(piece in answer.body for piece in FORBIDDEN), shown
        if method == "HEAD":
            assert answer.body == b"", shown
            return {}
        if answer.status >= HTTPStatus.BAD_REQUEST:
            self._check_problem(answer, shown)
        operation = self.document["paths"].get(route(path), {}).get(method.lower())
        if operation is None:
            return {}
        assert str(answer.status) in operation["responses"], shown
        documented = resolve(operation["responses"][str(answer.status)], self.document)
        content = documented.get("content", {})
        media_type = answer.headers.get("content-type", "").partition(";")[0]
        assert answer.status == HTTPStatus.NO_CONTENT or media_type in content, shown
        if media_type == "application/json" and answer.status == HTTPStatus.OK:
            self._validate(content[media_type]["schema"], json.loads(answer.body), shown)
        return documented

    def check_prediction(self, answer: Answer) -> None:
        """Fail where a response is neither a consistent prediction nor blames the request."""
        assert answer.status == HTTPStatus.OK or 400 <= answer.status < 500, answer
        assert answer.headers["cache-control"] == "no-store", answer.headers
        if answer.status == HTTPStatus.OK:
            prediction = json.loads(answer.body)
            assert prediction["class"] == (prediction["probability"] >= prediction["threshold"]), prediction
            assert prediction["label"] == ("NO", "YES")[prediction["class"]], prediction

    def _check_problem(self, answer: Answer, shown: str) -> None:
        assert answer.headers["content-type"] == PROBLEM_TYPE, shown
        problem = json.loads(answer.body)
        self._validate({"$ref": "#/components/schemas/Problem"}, problem, shown)
        assert problem["status"] == answer.status, shown
        assert problem["request_id"], shown
        if answer.status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:
            assert int(answer.headers["retry-after"]) >= 1, shown

    def _validate(self, schema: dict[str, Any], content: object, shown: str) -> None:
        whole = {**schema, "components": self.document["components"]}
        errors = [error.message for error in OAS31Validator(whole).iter_errors(content)]
        assert not errors, f"{errors}\n{shown}"
