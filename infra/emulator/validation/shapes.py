"""Requests against botocore's service models: required members, types, patterns, sizes, enumerations."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import botocore.session

from infra.emulator.validation import rules

if TYPE_CHECKING:
    from botocore.model import ServiceModel

    from infra.emulator.validation.rules import Json

Shape = Any  # of botocore: which attributes it has depends on its type's name
_Violation = tuple[str, object, str]  # the member's path, its value, and the constraint

# The models' patterns are Java's. Those that this does not cover are of operations that nothing here uses.
_JAVA = {
    r"\p{L}\p{Z}\p{N}": r"\w\s", r"\p{ASCII}": r"[\x00-\x7f]", r"\z": r"\Z",
    r"[\p{Print}]": r"[\x20-\x7e]", r"\p{Print}": r"[\x20-\x7e]",
    r"\uD800\uDC00-\uDBFF\uDFFF": r"\U00010000-\U0010ffff",
}  # fmt: skip
_TYPES: Mapping[str, Any] = {
    "structure": Mapping, "map": Mapping, "list": list, "string": str, "boolean": bool,
    "integer": int, "long": int, "float": (int, float), "double": (int, float),
}  # fmt: skip


class InvalidRequest(Exception):  # noqa: N818 - the request is invalid, not the program
    """AWS refuses a request.

    `code` is the error's name in SDKs; `members` are further members of the answer.
    """

    def __init__(
        self, code: str, message: str, *, status: int = 400, members: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.members = members or {}


@cache
def model(service: str) -> ServiceModel:
    """Return botocore's model of a service."""
    return botocore.session.get_session().get_service_model(service)


def validate(service: str, operation: str, request: Json) -> None:
    """Raise InvalidRequest with AWS's error code if AWS refuses a request; other operations pass."""
    if operation not in model(service).operation_names:
        return
    shape = model(service).operation_model(operation).input_shape
    if shape and (found := list(_violations(shape, request, ""))):
        raise InvalidRequest(*_refusal(service, operation, found))
    if broken := rules.broken(service, operation, request):
        raise InvalidRequest(rules.CODES[service], broken)


def _refusal(service: str, operation: str, found: list[_Violation]) -> tuple[str, str]:
    """Return code and message in the service's own wording."""
    if service == "ecr":
        path, _, constraint = found[0]
        wording = re.sub(r"^Member (must satisfy regular expression) pattern: (.*)$", r"\1 '\2'", constraint)
        return rules.CODES[
            service
        ], f"Invalid parameter at '{path}' failed to satisfy constraint: '{wording}'"
    prefix = f"{lower_first(operation)}Input." if service == "apigateway" else ""
    texts = [
        f"Value {value} at '{prefix}{path}' failed to satisfy constraint: {c}" for path, value, c in found
    ]
    count = f"{len(texts)} validation error{'s' if len(texts) > 1 else ''} detected: "
    code = "ValidationException" if service == "apigateway" else rules.CODES[service]
    return code, count + "; ".join(texts)


def _violations(shape: Shape, value: Any, path: str) -> Iterator[_Violation]:
    kind = shape.type_name
    if kind not in _TYPES:  # bytes and times
        return
    if not isinstance(value, _TYPES[kind]) or isinstance(value, bool) != (kind == "boolean"):
        actual = "STRING_VALUE" if isinstance(value, str) else type(value).__name__.upper()
        raise InvalidRequest("SerializationException", f"{actual} at '{path}' can not be converted to {kind}")
    for constraint in _constraints(shape, value):
        yield path, _written(value), constraint
    if kind == "structure":
        for name, member in shape.members.items():
            inner = f"{path}.{lower_first(name)}".lstrip(".")
            given = value.get(name) is not None
            yield from _violations(member, value[name], inner) if given else ()
            if not given and name in shape.required_members:
                yield inner, "null", "Member must not be null"
    elif kind == "list":
        for number, item in enumerate(value, start=1):
            yield from _violations(shape.member, item, f"{path}.{number}.member")
    elif kind == "map":
        parts = [("keys", shape.key, key) for key in value]
        parts += [("value", shape.value, item) for item in value.values()]
        for part, inner_shape, item in parts:
            if wrong := [constraint for *_, constraint in _violations(inner_shape, item, path)]:
                yield path, _written(value), f"Map {part} must satisfy constraint: [{', '.join(wrong)}]"


def _constraints(shape: Shape, value: Any) -> Iterator[str]:
    size, measure = (len(value), "length") if hasattr(value, "__len__") else (value, "value")
    limits = shape.metadata
    if size < limits.get("min", size):
        yield f"Member must have {measure} greater than or equal to {limits['min']}"
    if size > limits.get("max", size):
        yield f"Member must have {measure} less than or equal to {limits['max']}"
    if (pattern := limits.get("pattern")) and not _matches(pattern, value):
        yield f"Member must satisfy regular expression pattern: {pattern}"
    if (known := limits.get("enum")) and value not in known:
        yield f"Member must satisfy enum value set: [{', '.join(known)}]"


def _matches(pattern: str, value: str) -> bool:
    python = pattern
    for java, same in _JAVA.items():
        python = python.replace(java, same)
    return re.fullmatch(python, value) is not None


def _written(value: object) -> str:
    return f"'{value if isinstance(value, str) else json.dumps(value)}'"


def lower_first(name: str) -> str:
    """Return a member's name as AWS's messages spell it."""
    return name[:1].lower() + name[1:]
