"""One contract: `openapi.json` is its source, and everything that states a part of it agrees with it."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import shlex
import sys
from typing import TYPE_CHECKING, Any, Literal, cast, get_type_hints
from urllib.parse import parse_qsl, urlsplit

import pytest
from openapi_schema_validator import OAS31Validator
from pydicom.datadict import tag_for_keyword

from container import dicom, predictor, problem, server
from container.rules import out_of_distribution
from infra.constructs.gateway import gateway_responses
from infra.constructs.gateway.api import BINARY_MEDIA_TYPES
from infra.lambdas.gateway import endpoint_errors, metrics, predictions, routes, upload
from infra.lambdas.gateway.labels import CHOICES, MAX_BODY_BYTES, MAX_NOTE_CHARS, MEDIA_TYPE, Labels
from infra.lambdas.gateway.pages import Site
from infra.lambdas.gateway.predictions import Predictions
from infra.lambdas.gateway.problems import TITLES, Problem
from infra.lambdas.gateway.request_ids import RequestIds
from infra.lambdas.gateway.settings import Model
from infra.paths import OPENAPI, ROOT
from infra.site import render
from infra.site.render import HERE, resolve
from scripts import client
from scripts.api import labels

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from infra.lambdas.gateway.endpoint import Endpoint

DOCUMENT: dict[str, Any] = json.loads(OPENAPI.read_text())
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
PREDICT: dict[str, Any] = DOCUMENT["paths"]["/predict"]["post"]
LABEL: dict[str, Any] = DOCUMENT["paths"][routes.LABEL]["post"]
ACCEPTED: dict[str, Any] = PREDICT["requestBody"]["content"]
OPERATIONS = [
    (method, path, operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
]
# The others are in test_labels.py and tests/emulator/test_async.py.
SIMPLE = [each for each in OPERATIONS if not each[1].startswith(routes.PREDICTIONS)]
ANSWER = predictor.Answer
VALUES = {"boolean": True, "integer": 3, "string": "the value"}  # of parameters
PROBLEM_MEMBERS = Problem(400, "").document(request_id="")
# A shell command that begins with curl and continues where a line ends with a backslash.
CURL = re.compile(r"^ *(curl (?:.*\\\n)*.*)$", re.MULTILINE)


class TestDocument:
    def test_its_examples_follow_its_schemas(self) -> None:
        shown = [
            (content["schema"], example)
            for _, _, operation in OPERATIONS
            for answer in operation["responses"].values()
            for content in answer.get("content", {}).values()
            for example in (
                *(named["value"] for named in content.get("examples", {}).values()),
                *([content["example"]] if "example" in content else []),
            )
        ]
        assert shown
        for schema, example in shown:
            OAS31Validator({**schema, "components": DOCUMENT["components"]}).validate(example)

    def test_every_answer_names_its_request_and_retries_have_a_time(self) -> None:
        for _, _, operation in OPERATIONS:
            for status, answer in operation["responses"].items():
                headers = resolve(answer, DOCUMENT)["headers"]
                assert "X-Request-Id" in headers
                assert ("Retry-After" in headers) == (status in {"202", "429", "503"})


class TestCode:
    """The Lambda, the container and API Gateway implement the document."""

    def test_the_routes_are_documented(self) -> None:
        unused = cast("Endpoint", None)  # only the table is read
        model = Model(name="", version="", sha256="", kind="images", gates_failed=())
        site = Site(sign_in=None)
        labels = Labels("", ids=RequestIds(""), model_sha256="")
        later = Predictions("", endpoint=unused, ids=RequestIds(""))
        table = routes.table(model=model, endpoint=unused, site=site, labels=labels, predictions=later)
        routed = {(method.lower(), path) for path, methods in table.items() for method in methods}
        part_of_the_page = ("get", "/dicom.js")
        assert routed == {part_of_the_page, *((method, path) for method, path, _ in OPERATIONS)}

    def test_an_image_has_the_same_media_types_everywhere(self) -> None:
        in_a_form = ACCEPTED[upload.FORM_TYPE]["encoding"][upload.FORM_FIELD]["contentType"].split(", ")
        as_a_body = set(ACCEPTED) - {upload.FORM_TYPE}
        assert set(server.MEDIA_TYPES) == set(upload.IMAGE_TYPES) == set(in_a_form) == as_a_body
        assert server.OTHER_NAMES == upload.OTHER_NAMES
        assert set(BINARY_MEDIA_TYPES) == {*ACCEPTED, *upload.OTHER_NAMES}, (
            "API Gateway would decode the others as text"
        )
        assert ACCEPTED[upload.FORM_TYPE]["schema"]["required"] == [upload.FORM_FIELD]

    def test_an_image_has_the_same_limits_everywhere(self) -> None:
        size, pixels = problem.MAX_IMAGE_BYTES, problem.MAX_IMAGE_PIXELS
        assert size == upload.MAX_IMAGE_BYTES == client.MAX_IMAGE_BYTES == SCHEMAS["Image"]["maxLength"]
        stated = f"{size:,} bytes ({size // 2**20} MiB) and {pixels // 10**6} megapixels"
        assert stated in DOCUMENT["info"]["description"]
        assert f"{pixels // 10**6} megapixels" in SCHEMAS["Image"]["description"]
        assert PREDICT["responses"]["413"]["description"] == f"More than {size:,} bytes or {pixels:,} pixels."

    @pytest.mark.parametrize(
        ("name", "sent", "required"),
        [
            (
                "Prediction",
                {*ANSWER.__annotations__, "request_id", "frame"} - {"statistics"},  # for the log alone
                {*ANSWER.__required_keys__, "request_id"},
            ),
            ("Preview", {*predictor.Preview.__annotations__}, {*predictor.Preview.__required_keys__}),
            ("Heatmap", {*predictor.Heatmap.__annotations__}, {*predictor.Heatmap.__required_keys__}),
            ("Problem", {*PROBLEM_MEMBERS, *endpoint_errors.SCORES, "frame"}, {*PROBLEM_MEMBERS}),
        ],
    )
    def test_answers_have_the_documented_members(self, name: str, sent: set[str], required: set[str]) -> None:
        assert SCHEMAS[name]["properties"].keys() == sent
        assert set(SCHEMAS[name]["required"]) == required

    def test_the_health_check_has_the_documented_members(self) -> None:
        every = SCHEMAS["Model"]["properties"] | SCHEMAS["ServedModel"]["properties"]
        assert [field.name for field in dataclasses.fields(Model)] == list(every)
        required = {field.name for field in dataclasses.fields(Model) if field.default is dataclasses.MISSING}
        assert {*SCHEMAS["Model"]["required"], *SCHEMAS["ServedModel"]["required"]} == required

    def test_labels_and_scores_have_the_same_names_everywhere(self) -> None:
        assert set(SCHEMAS["Prediction"]["properties"]["label"]["enum"]) == set(metrics.OF_A_LABEL)
        refusal = out_of_distribution(score=0.02, threshold=0.37)
        assert refusal.extensions.keys() == set(endpoint_errors.SCORES)
        shown = PREDICT["responses"]["422"]["content"]["application/problem+json"]["examples"]["score"][
            "value"
        ]
        example = out_of_distribution(score=shown["score"], threshold=shown["score_threshold"])
        assert shown["detail"] == example.detail

    def test_a_frame_has_the_same_limits_everywhere(self) -> None:
        (schema,) = (each["schema"] for each in PREDICT["parameters"] if each["name"] == "frame")
        for number in (schema["minimum"] - 1, schema["minimum"], schema["maximum"], schema["maximum"] + 1):
            allowed = schema["minimum"] <= number <= schema["maximum"]
            assert bool(routes.FRAME.fullmatch(str(number))) == allowed
            assert server._wanted({"frame": str(number)}).frame == (number if allowed else 0)
        example = PREDICT["responses"]["422"]["content"]["application/problem+json"]["examples"]["frames"]
        with pytest.raises(problem.Problem, match=re.escape(example["value"]["detail"])):
            problem.check_frame(None, 3)

    def test_the_clients_send_the_same_of_a_dicom_file_as_the_container_reads(self) -> None:
        page = (HERE / "page" / "dicom.js").read_text()
        tags, terms = (
            re.findall(pattern, page[page.index(f"const {name} = ") :].partition(";")[0])
            for name, pattern in (("TAGS", r"0x\w{8}"), ("TERMS", r"[A-Z][A-Z0-9_ ]+"))
        )
        assert client.DICOM_TAGS == dicom.TAGS
        assert {int(tag, 16) for tag in tags} == {tag_for_keyword(keyword) for keyword in dicom.TAGS}
        assert {"MR", "YES", "INVERSE", *dicom.MODALITIES, *dicom.GREY} <= client.DICOM_TERMS & set(terms)

    def test_a_label_has_the_same_limits_everywhere(self) -> None:
        members = LABEL["requestBody"]["content"][MEDIA_TYPE]["schema"]["properties"]
        assert (set(members["label"]["enum"]), members["note"]["maxLength"]) == ({*CHOICES}, MAX_NOTE_CHARS)
        assert LABEL["responses"]["413"]["description"] == f"More than {MAX_BODY_BYTES:,} bytes."
        assert render.LABEL_PATH == routes.LABEL == labels.PATH

    def test_an_upload_has_the_same_limits_everywhere(self) -> None:
        assert render.ASYNC_PATHS == (routes.PREDICTIONS, routes.PREDICTION)
        assert predictions.MAX_UPLOAD_BYTES == client.MAX_UPLOAD_BYTES == 100 * 2**20
        assert "at most 100 MiB" in DOCUMENT["paths"][routes.PREDICTIONS]["post"]["description"]

    def test_api_gateway_gives_documented_answers_only(self) -> None:
        documented = {int(status) for status in PREDICT["responses"]} | {404}
        for answer in gateway_responses.RESPONSES.values():
            assert answer.status in documented
            headers = resolve(PREDICT["responses"].get(str(answer.status), {}), DOCUMENT).get("headers", {})
            assert ("Retry-After" in headers) == ("Retry-After" in answer.headers), answer


class Recorder(client.Client):
    """A client that keeps its last request instead of sending it."""

    def _send(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> client.Reply:
        self.sent = (method.lower(), urlsplit(path), headers, body)
        return client.Reply(204, {}, b"")  # which no operation answers


class TestClient:
    """The published client covers the document, no more and no less."""

    def test_it_needs_nothing_but_python(self) -> None:
        imported = re.findall(r"^(?:from|import) (\w+)", inspect.getsource(client), re.MULTILINE)
        assert set(imported) <= sys.stdlib_module_names
        assert DOCUMENT["info"]["version"] in str(client.__doc__)

    @pytest.mark.parametrize(("method", "path", "operation"), SIMPLE)
    def test_each_operation_has_a_method(self, method: str, path: str, operation: dict[str, Any]) -> None:
        # Given the method and a value for each parameter
        recorder = Recorder("https://example.org/v1", api_key="the key")
        call = getattr(recorder, snake_case(operation["operationId"]))
        parameters = {snake_case(each["name"]): each for each in operation.get("parameters", [])}
        body = {"image": b"the image"} if "requestBody" in operation else {}
        on_this_side = {"keep_header"} if body else set()
        assert inspect.signature(call).parameters.keys() == {*body, *parameters, *on_this_side}
        values = {name: VALUES[each["schema"]["type"]] for name, each in parameters.items()}
        # When it is called
        with pytest.raises(client.MalformedAnswerError):
            call(**body, **values)
        # Then the request is the documented one
        sent_method, target, headers, sent_body = recorder.sent
        assert (sent_method, target.path, sent_body) == (method, path, b"".join(body.values()))
        assert headers[DOCUMENT["components"]["securitySchemes"]["api_key"]["name"]] == "the key"
        assert headers["Accept"].partition(",")[0] in operation["responses"]["200"]["content"]
        if body:
            assert headers["Content-Type"] in operation["requestBody"]["content"]
        sent = {"query": dict(parse_qsl(target.query)), "header": headers}
        for name, each in parameters.items():
            assert sent[each["in"]][each["name"]] == json.dumps(values[name]).strip('"')

    @pytest.mark.parametrize("name", [name for name, each in SCHEMAS.items() if each["type"] == "object"])
    def test_each_schema_has_a_dataclass(self, name: str) -> None:
        schema, kind = SCHEMAS[name], getattr(client, name)
        inherited = [SCHEMAS[each["$ref"].rpartition("/")[2]] for each in schema.get("allOf", [])]
        expected = {
            member: annotation(described, required=member in part["required"])
            for part in (*inherited, schema)
            for member, described in part["properties"].items()
        }
        assert {name.removesuffix("_"): hint for name, hint in get_type_hints(kind).items()} == expected

    def test_each_status_has_an_error(self) -> None:
        documented = {int(status) for _, _, operation in OPERATIONS for status in operation["responses"]}
        assert client.PROBLEMS.keys() == documented - {200, 202}
        for status, kind in client.PROBLEMS.items():
            title = TITLES[status]
            assert kind.__name__ == f"{title.replace(' ', '').removesuffix('Error')}Error"


def snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])|\W", "_", name).lower()


def annotation(schema: dict[str, Any], *, required: bool = True) -> object:
    """Return the Python type of a schema."""
    if not required:
        return annotation(schema) | None  # type: ignore[operator]
    if "$ref" in schema:
        return getattr(client, schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:  # with null
        return annotation(schema["anyOf"][0], required=False)
    if "enum" in schema or "const" in schema:
        return Literal[tuple(schema.get("enum", [schema.get("const")]))]
    if inner := schema.get("items") or schema.get("additionalProperties"):
        kind = annotation(inner)
        return list[kind] if schema["type"] == "array" else dict[str, kind]  # type: ignore[valid-type]
    return {"string": str, "number": float, "integer": int}[schema["type"]]


def examples() -> Iterator[tuple[str, str]]:
    """Yield every curl command that the project shows, with where it stands."""
    documentation = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
    schemes = DOCUMENT["components"]["securitySchemes"].items()
    texts = {
        **{path.name: path.read_text() for path in documentation},
        **{name: scheme["description"] for name, scheme in schemes},
        "the document": DOCUMENT["info"]["description"],
    }
    for where, text in texts.items():
        for command in CURL.findall(text):
            if "$URL" in command:
                yield where, command.replace("\\\n", " ")


EXAMPLES = list(examples())


def test_the_examples_are_found() -> None:
    assert {"the document", "api_key", "iam", "cognito"} <= {where for where, _ in EXAMPLES}


@pytest.mark.parametrize(("where", "command"), EXAMPLES)
def test_every_example_is_a_documented_request(where: str, command: str) -> None:
    words = shlex.split(command)
    (url,) = (word for word in words if word.startswith("$URL"))
    target = urlsplit(url.removeprefix("$URL"))
    posts = {"--data-binary", "-F", "-d"} & set(words)
    operation = DOCUMENT["paths"][routes.route(target.path)]["post" if posts else "get"]
    parameters = {each["name"]: each["schema"] for each in operation.get("parameters", [])}
    for name, value in parse_qsl(target.query, strict_parsing=bool(target.query)):
        OAS31Validator(parameters[name]).validate(json.loads(value))
    if "-F" in words:
        field, _, _ = words[words.index("-F") + 1].partition("=")
        assert field in ACCEPTED["multipart/form-data"]["schema"]["properties"]
    if "-d" in words:
        (content,) = operation["requestBody"]["content"].values()
        OAS31Validator(content["schema"]).validate(json.loads(words[words.index("-d") + 1]))
    if "--data-binary" in words:
        (kind,) = re.findall(r"content-type: ([\w/]+)", command.lower())
        assert kind in ACCEPTED
