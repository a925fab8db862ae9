"""Which path and method does what: every decision that needs no outside world."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING

import faults
import metrics
import pages
import prediction
from problems import Problem
from proxy import Request, Response
from upload import image_of

if TYPE_CHECKING:
    from access import Access
    from endpoint import Endpoint
    from settings import Model

Action = Callable[[Request], Response]
Routes = Mapping[str, Mapping[str, Action]]

SERVING = frozenset({"InService", "Updating", "SystemUpdating", "RollingBack"})


def table(*, model: Model, endpoint: Endpoint, access: Access) -> Routes:
    """Return every path's methods; HEAD and OPTIONS follow from them."""
    return {
        "/": {"GET": partial(pages.page, access=access)},
        "/openapi.json": {"GET": partial(pages.openapi, access=access)},
        "/docs": {"GET": partial(pages.api_docs, access=access)},
        "/model-card": {"GET": pages.model_card},
        "/health": {"GET": partial(health, model=model, endpoint=endpoint)},
        "/predict": {"POST": partial(predict, endpoint=endpoint)},
    }


def answer(request: Request, routes: Routes) -> Response:
    """Return the answer to a request.

    Raises
    ------
    Problem
        404 or 405, or whatever the path's action raises.
    """
    methods = routes.get(request.path)
    if methods is None:
        raise Problem(404, f"There is nothing at {request.path[:100]}; the paths are {', '.join(routes)}.")
    if request.method == "OPTIONS":
        return Response(204, headers={"Allow": allow(methods)})
    action = methods.get("GET" if request.method == "HEAD" else request.method)
    if action is None:
        taken = allow(methods)
        raise Problem(
            405, f"{request.path} takes {taken}, not {request.method[:20]}.", headers={"Allow": taken}
        )
    return action(request)


def allow(methods: Mapping[str, Action]) -> str:
    """Return a path's methods as the Allow header names them."""
    return ", ".join(sorted({*methods, "OPTIONS", *({"HEAD"} if "GET" in methods else ())}))


def health(_request: Request, *, model: Model, endpoint: Endpoint) -> Response:
    """Answer whether the endpoint serves, and with which model."""
    status = endpoint.status()
    if status not in SERVING:
        raise faults.not_ready(f"endpoint status {status}")
    told = {key: value for key, value in asdict(model).items() if value is not None}
    return _json({"status": "ok", "model": told})


def predict(request: Request, *, endpoint: Endpoint) -> Response:
    """Answer with the endpoint's prediction for the request's image."""
    heatmap = request.query.get("heatmap", "false")
    if heatmap not in ("true", "false"):
        raise Problem(400, "The parameter heatmap is true or false.")
    told = prediction.read(
        endpoint.predict(
            image_of(request),
            heatmap=heatmap == "true",
            request_id=request.id,
            traceparent=request.traceparent,
        )
    )
    answer = _json({**told, "request_id": request.id})
    return replace(answer, outcome=metrics.OF_A_LABEL.get(told["label"]))


def _json(content: Mapping[str, object]) -> Response:
    return Response(200, "application/json", json.dumps(content), {"Cache-Control": "no-store"})
