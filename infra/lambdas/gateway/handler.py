"""The gateway's Lambda: one proxy event in, one answer out, one line in the log."""

from __future__ import annotations

import json
import os
import time
import traceback
from dataclasses import replace

from botocore.exceptions import BotoCoreError, ClientError

from . import endpoint_errors, metrics, pages, problems, routes, settings
from .endpoint import Endpoint
from .labels import Labels
from .predictions import Predictions
from .problems import Problem
from .proxy import Envelope, Event, Request, Response
from .request_ids import RequestIds

# Created at import: a cold start pays for it once, and an invalid environment fails the start.
SETTINGS = settings.read(os.environ)
ENDPOINT = Endpoint(SETTINGS.endpoint_name)
LABELS, PREDICTIONS = None, None
IDS = RequestIds(SETTINGS.request_id_key) if SETTINGS.request_id_key else None
if IDS and SETTINGS.label_bucket:
    LABELS = Labels(SETTINGS.label_bucket, ids=IDS, model_sha256=SETTINGS.model.sha256)
if IDS and SETTINGS.async_bucket:
    PREDICTIONS = Predictions(SETTINGS.async_bucket, endpoint=ENDPOINT, ids=IDS)
ROUTES = routes.table(
    model=SETTINGS.model,
    endpoint=ENDPOINT,
    site=pages.Site(SETTINGS.sign_in, PREDICTIONS),
    labels=LABELS,
    predictions=PREDICTIONS,
)

SERVER_ERRORS = range(500, 600)
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
# The request headers that each auth mode adds for a page of the allowed origin.
AUTH_HEADERS: dict[settings.Mode, tuple[str, ...]] = {
    "none": (),
    "api_key": ("X-Api-Key",),
    "iam": ("Authorization", "X-Amz-Content-Sha256", "X-Amz-Date", "X-Amz-Security-Token"),
    "cognito": ("Authorization",),
}


def handle(event: Event, _context: object) -> Envelope:
    """Answer one request; an unexpected error becomes a problem document too."""
    started = time.perf_counter()
    request, no_check = _with_check(Request.from_event(event))
    response, cause = _answer(request)
    if request.method == "HEAD":
        response = replace(response, body="")
    common = {**SECURITY_HEADERS, "X-Request-Id": request.id, **_cors(request)}
    response = replace(response, headers={**common, **response.headers})
    _log(request, response, cause=cause or no_check, seconds=time.perf_counter() - started)
    return response.envelope()


def _with_check(request: Request) -> tuple[Request, str | None]:
    """Give a prediction's id its check, so that it can be labelled; also return why where that fails.

    An answer is worth more than its label: without the key the prediction is made under the plain id.
    One that is answered later is then refused.
    """
    predicts = request.method == "POST" and request.path in (routes.PREDICT, routes.PREDICTIONS)
    if IDS is None or not predicts or request.id.startswith(metrics.UNCOUNTED):
        return request, None
    try:
        return replace(request, id=IDS.checked(request.id)), None
    except (BotoCoreError, ClientError) as error:
        return request, f"no check for the request's id: {error}"[:500]


def _answer(request: Request) -> tuple[Response, str | None]:
    try:
        return routes.answer(request, ROUTES), None
    except Problem as problem:
        return _problem_response(problem, request), problem.cause
    except Exception as error:
        # The type and the frames, not the message: it could quote the request.
        cause = f"{type(error).__name__}\n{''.join(traceback.format_tb(error.__traceback__))}"
        failure = Problem(500, "The gateway failed; the log names this request.")
        return _problem_response(failure, request), cause


def _problem_response(problem: Problem, request: Request) -> Response:
    document = json.dumps(problem.document(request_id=request.id))
    headers = {"Cache-Control": "no-store", **problem.headers}
    outcome: metrics.Outcome | None = metrics.REFUSED if problem.status == endpoint_errors.REFUSED else None
    return Response(problem.status, problems.MEDIA_TYPE, document, headers, outcome)


def _cors(request: Request) -> dict[str, str]:
    """Return the headers that let pages of the one allowed origin, if any, read the answer."""
    if SETTINGS.allowed_origin is None:
        return {}
    headers = {
        "Access-Control-Allow-Origin": SETTINGS.allowed_origin,
        "Access-Control-Expose-Headers": "Retry-After, X-Request-Id",
    }
    if request.method == "OPTIONS":
        allowed = ("Content-Type", "Traceparent", *AUTH_HEADERS[SETTINGS.auth])
        headers |= {
            "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS, POST",
            "Access-Control-Allow-Headers": ", ".join(allowed),
            "Access-Control-Max-Age": "600",
        }
    return headers


def _log(request: Request, response: Response, *, cause: str | None, seconds: float) -> None:
    """Write one JSON line; it holds no image, key or token, and no text that the sender chose."""
    line: dict[str, object] = {
        "level": "ERROR" if response.status in SERVER_ERRORS else "INFO",
        "request_id": request.id,
        "traceparent": request.traceparent,
        "method": request.method,
        "path": path if (path := routes.route(request.path)) in ROUTES else None,
        "status": response.status,
        "ms": round(seconds * 1000, 1),
        "body_chars": len(request.body),
        "cause": cause,
    }
    if response.outcome and not request.id.startswith(metrics.UNCOUNTED):
        at_ms = time.time_ns() // 1_000_000
        line |= metrics.members(response.outcome, endpoint_name=SETTINGS.endpoint_name, at_ms=at_ms)
        line["model_version"] = SETTINGS.model.version
        line["watched"] = response.watched
    print(json.dumps(line))
