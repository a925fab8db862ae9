"""What can be asked, and every answer to it."""

from __future__ import annotations

from container.limits import MAX_IMAGE_PIXELS
from problems import Problem
from scripts.delivery.contract.schemas import (
    MEGAPIXELS,
    Node,
    example_model,
    example_of,
    example_prediction,
    example_refusal,
    problem_content,
    ref,
)
from upload import FORM_FIELD, FORM_TYPE, IMAGE_TYPES, MAX_IMAGE_BYTES

BLANK = "The image is blank or nearly so: there is no brain to be seen."
TRACEPARENT = (
    "W3C trace context: names the trace that this request is part of, in the logs of every hop. What is "
    "none is ignored."
)


def operations() -> dict[tuple[str, str], Node]:
    """Return every operation by path and method."""
    return {
        ("/predict", "POST"): _predict(),
        ("/health", "GET"): _health(),
        ("/model-card", "GET"): _model_card(),
        ("/openapi.json", "GET"): _read(
            "openapi", "The OpenAPI document", "OpenAPI 3.1.", {"application/json": {"type": "object"}}
        ),
        ("/docs", "GET"): _read("docs", "The OpenAPI document as a page", "The page.", HTML),
        ("/", "GET"): _read("page", "The page for people", "The page.", HTML),
    }


HTML: Node = {"text/html": {"type": "string"}}


def headers() -> Node:
    """Return the headers that answers come with, by name."""
    return {
        "Retry-After": {
            "description": "Seconds after which the same request may succeed.",
            "required": True,
            "schema": {"type": "integer", "minimum": 1},
        },
        "X-Request-Id": {
            "description": "Names this request in the logs; the `request_id` of an answer that is JSON.",
            "required": True,
            "schema": {"type": "string"},
        },
    }


def shared_answers() -> Node:
    """Return the answers that several operations have, by name."""
    later = "Retry-After"
    return {
        "NotLetIn": _problem_answer(
            "Not let in: the deployment asks who you are, or its firewall stopped this."
        ),
        "Throttled": _problem_answer("Too many requests at once.", later),
        "GatewayFailed": _problem_answer("The gateway itself failed."),
        "EndpointFailed": _problem_answer("The endpoint failed, or answered what is no prediction."),
        "NotReady": _problem_answer("The model is not ready (yet).", later),
        "TooSlow": _problem_answer("The answer took too long."),
    }


def _predict() -> Node:
    forms = {
        "schema": {"type": "object", "required": [FORM_FIELD], "properties": {FORM_FIELD: ref("Image")}},
        "encoding": {FORM_FIELD: {"contentType": ", ".join(IMAGE_TYPES)}},
    }
    return {
        "operationId": "predict",
        "tags": ["prediction"],
        "summary": "Classify one image",
        "description": f"The image is the body itself, or the one part named `{FORM_FIELD}` of a form: one "
        "image a request, several images are several requests. Among the image types the bytes decide, not "
        "the name: a PNG sent as `image/jpeg` is taken. CMYK, 16-bit, palette, transparent and EXIF-rotated "
        "images are handled; of an animated PNG the first frame counts.",
        "parameters": [
            {
                "name": "heatmap",
                "in": "query",
                "description": "Whether to add the map of what the model decided by.",
                "schema": {"type": "boolean", "default": False},
            },
            {
                "name": "traceparent",
                "in": "header",
                "description": TRACEPARENT,
                "schema": {"type": "string"},
            },
        ],
        "requestBody": {
            "required": True,
            "content": {**{kind: {"schema": ref("Image")} for kind in IMAGE_TYPES}, FORM_TYPE: forms},
        },
        "responses": {
            "200": _answer("The model's answer.", _predictions()),
            "400": _problem_answer(
                "No image, or one that is broken: no or an empty body, a truncated or damaged JPEG or PNG, "
                f"a form without exactly one part named `{FORM_FIELD}`, or a parameter that is neither true "
                "nor false.",
                example=example_of(Problem(400, "The image is empty (0 bytes).")),
            ),
            "401": ref("NotLetIn", "responses"),
            "403": ref("NotLetIn", "responses"),
            "413": _problem_answer(f"More than {MAX_IMAGE_BYTES:,} bytes or {MAX_IMAGE_PIXELS:,} pixels."),
            "415": _problem_answer("No or another Content-Type, or bytes that are neither a JPEG nor a PNG."),
            "422": _problem_answer(
                "An image, but none of a brain MRI that could be judged: by a rule, such as for a blank "
                "image, or by the model's own score, which then comes with it.",
                examples={
                    "rule": {"summary": "Refused by a rule", "value": example_of(Problem(422, BLANK))},
                    "score": {"summary": "Refused by the model's score", "value": example_refusal()},
                },
            ),
            **_of_the_endpoint(),
        },
    }


def _predictions() -> Node:
    heatmap = {"width": 2, "height": 2, "values": [[0.0, 0.2], [0.1, 1.0]]}
    examples = {
        "plain": {"summary": "Without the heatmap", "value": example_prediction("YES", 0.93)},
        "heatmap": {
            "summary": "With a heatmap of 2 by 2",
            "value": example_prediction("NO", 0.12, heatmap=heatmap),
        },
    }
    return {"application/json": {"schema": ref("Prediction"), "examples": examples}}


def _health() -> Node:
    model = example_model(kind="images", gates_failed=[])
    content = {
        "application/json": {"schema": ref("Health"), "example": {"status": "ok", "model": model}},
    }
    return {
        "operationId": "health",
        "tags": ["about"],
        "summary": "Whether the model serves, and which",
        "responses": {
            "200": _answer("It serves.", content),
            "403": ref("NotLetIn", "responses"),
            **_of_the_endpoint(),
        },
    }


def _model_card() -> Node:
    card = _read(
        "modelCard", "The card of the model that serves", "The card.", {**HTML, "text/markdown": _TEXT}
    )
    about = (
        "What it was trained on, how well it does and where it fails. As a page, or as Markdown where only "
        "that is accepted."
    )
    absent = {"404": _problem_answer("This deployment came without a card.")}
    responses = dict(sorted({**card["responses"], **absent}.items()))
    return {**card, "description": about, "responses": responses}


_TEXT: Node = {"type": "string"}


def _read(operation_id: str, summary: str, meaning: str, content: Node) -> Node:
    """Return an operation that gives something to read, which asks no endpoint."""
    return {
        "operationId": operation_id,
        "tags": ["about"],
        "summary": summary,
        "responses": {
            "200": _answer(meaning, {kind: {"schema": schema} for kind, schema in content.items()}),
            "403": ref("NotLetIn", "responses"),
            "429": ref("Throttled", "responses"),
            "500": ref("GatewayFailed", "responses"),
            "502": ref("GatewayFailed", "responses"),
            "504": ref("TooSlow", "responses"),
        },
    }


def _of_the_endpoint() -> Node:
    return {
        "429": ref("Throttled", "responses"),
        "500": ref("GatewayFailed", "responses"),
        "502": ref("EndpointFailed", "responses"),
        "503": ref("NotReady", "responses"),
        "504": ref("TooSlow", "responses"),
    }


def _answer(meaning: str, content: Node, *more_headers: str) -> Node:
    named = {name: ref(name, "headers") for name in ("X-Request-Id", *more_headers)}
    return {"description": meaning, "headers": named, "content": content}


def _problem_answer(meaning: str, *more_headers: str, **examples: object) -> Node:
    return _answer(meaning, problem_content(**examples), *more_headers)


def in_short() -> str:
    """Return what there is to know before the first request."""
    return (
        "**Not a medical device.** The answers come from a model trained on a small public data set. They "
        "are no diagnosis and must not be used for one.\n\n"
        f"Send one JPEG or PNG image of at most {MAX_IMAGE_BYTES:,} bytes ({MAX_IMAGE_BYTES // 1024**2} MiB) "
        f"and {MEGAPIXELS} megapixels; read JSON.\n\n"
        "```\n"
        "curl --data-binary @scan.jpg -H 'Content-Type: image/jpeg' \"$URL/predict?heatmap=true\"\n"
        f'curl -F {FORM_FIELD}=@scan.png "$URL/predict"\n'
        "```\n\n"
        "A prediction has no side effect: the same request may be sent again. Every error is a problem of "
        "RFC 9457 (`application/problem+json`) whose `detail` says what to do; after a 429 or a 503 the same "
        "request may succeed in `Retry-After` seconds. Every path answers OPTIONS with the methods that it "
        "takes, and HEAD where it takes GET."
    )
