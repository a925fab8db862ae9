"""The gateway's handler on Powertools for AWS Lambda: its router, logger and metrics, the project's answers.

It lies beside the gateway's other files, in the place of their handler: what an image is, how the endpoint is
asked and what its errors mean are the same code.
"""

from __future__ import annotations

import json
import os

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.metrics import MetricUnit

import metrics as counted
import pages
import problems
import routes
import settings
from endpoint import Endpoint
from problems import Problem
from proxy import Request
from proxy import Response as Answer

SETTINGS = settings.read(os.environ)
ENDPOINT = Endpoint(SETTINGS.endpoint_name)

SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

app = APIGatewayRestResolver()
logger = Logger(service="gateway")
metrics = Metrics(namespace=counted.NAMESPACE, service="gateway")


@app.get("/")  # type: ignore[untyped-decorator]  # it has no types here
def page() -> Response:
    """Answer with the page."""
    return _sent(pages.page(_request(), access=SETTINGS.access))


@app.get("/openapi.json")  # type: ignore[untyped-decorator]
def openapi() -> Response:
    """Answer with the OpenAPI document."""
    return _sent(pages.openapi(_request(), access=SETTINGS.access))


@app.get("/docs")  # type: ignore[untyped-decorator]
def api_docs() -> Response:
    """Answer with the OpenAPI document as a page."""
    return _sent(pages.api_docs(_request(), access=SETTINGS.access))


@app.get("/model-card")  # type: ignore[untyped-decorator]
def model_card() -> Response:
    """Answer with the model's card."""
    return _sent(pages.model_card(_request()))


@app.get("/health")  # type: ignore[untyped-decorator]
def health() -> Response:
    """Answer whether the endpoint serves."""
    return _sent(routes.health(_request(), model=SETTINGS.model, endpoint=ENDPOINT))


@app.post("/predict")  # type: ignore[untyped-decorator]
def predict() -> Response:
    """Answer with the endpoint's prediction, and count it."""
    answer = routes.predict(_request(), endpoint=ENDPOINT)
    if answer.outcome:
        metrics.add_dimension(name=counted.DIMENSION, value=SETTINGS.endpoint_name)
        metrics.add_metadata(key="model_version", value=SETTINGS.model.version)
        for name in counted.OUTCOMES:
            metrics.add_metric(name=name, unit=MetricUnit.Count, value=int(name == answer.outcome))
    return _sent(answer)


@app.exception_handler(Problem)  # type: ignore[untyped-decorator]
def tell(problem: Problem) -> Response:
    """Answer with a problem."""
    document = json.dumps(problem.document(request_id=app.current_event.request_context.request_id))
    headers = {"Cache-Control": "no-store", **problem.headers}
    return _sent(Answer(problem.status, problems.MEDIA_TYPE, document, headers))


@app.not_found  # type: ignore[untyped-decorator]
def nothing(_error: Exception) -> Response:
    """Answer where there is no route."""
    return tell(Problem(404, "There is nothing here."))


@metrics.log_metrics  # type: ignore[untyped-decorator]
def handle(event: dict[str, object], context: object) -> dict[str, object]:
    """Answer one request."""
    answer: dict[str, object] = app.resolve(event, context)
    about = app.current_event
    logger.info(
        "answered",
        request_id=about.request_context.request_id,
        method=about.http_method,
        status=answer["statusCode"],
        body_chars=len(about.body or ""),
    )
    return answer


def _request() -> Request:
    event = app.current_event
    return Request(
        id=event.request_context.request_id,
        method=event.http_method,
        path=event.path,
        query=event.query_string_parameters,
        headers=event.headers,
        body=event.body or "",
        body_is_base64=event.is_base64_encoded,
    )


def _sent(answer: Answer) -> Response:
    return Response(
        status_code=answer.status,
        content_type=answer.media_type,
        body=answer.body,
        headers={**SECURITY_HEADERS, **answer.headers},
    )
