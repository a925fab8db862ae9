"""Maps paths and methods to actions."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING

from . import endpoint_errors, metrics, prediction
from .problems import Problem
from .proxy import Request, Response
from .upload import image_of

if TYPE_CHECKING:
    from .endpoint import Endpoint
    from .labels import Labels
    from .pages import Site
    from .predictions import Predictions
    from .settings import Model

Action = Callable[[Request], Response]
Routes = Mapping[str, Mapping[str, Action]]

PREDICT = "/predict"
PREDICTIONS = "/predictions"
PREDICTION = "/predictions/{request_id}"
LABEL = "/predictions/{request_id}/label"
A_LABEL, A_PREDICTION = re.compile("/predictions/([^/]+)/label"), re.compile("/predictions/([^/]+)")
FRAME, FRAME_OR_ALL = re.compile("[1-9][0-9]{0,8}"), re.compile("[1-9][0-9]{0,8}|all")
SERVING = frozenset({"InService", "Updating", "SystemUpdating", "RollingBack"})


def table(
    *, model: Model, endpoint: Endpoint, site: Site, labels: Labels | None, predictions: Predictions | None
) -> Routes:
    """Return every path's methods; HEAD and OPTIONS follow from them."""
    feedback: Routes = {LABEL: {"POST": partial(label, labels=labels)}} if labels else {}
    predicting: Routes = {PREDICT: {"POST": partial(predict, endpoint=endpoint)}}
    if predictions:
        predicting = {
            PREDICT: {"POST": answered_later},
            PREDICTIONS: {"POST": partial(begin, predictions=predictions)},
            PREDICTION: {
                "GET": partial(prediction_of, predictions=predictions, start=False),
                "POST": partial(prediction_of, predictions=predictions, start=True),
            },
        }
    return {
        "/": {"GET": site.page},
        # The page's code for DICOM files, which it runs as an inline script of known hash.
        "/dicom.js": {"GET": lambda _: site.document("dicom.js", "text/javascript; charset=utf-8")},
        "/openapi.json": {"GET": lambda _: site.document("openapi.json", "application/json")},
        "/docs": {"GET": lambda _: site.html("docs.html")},
        "/model-card": {"GET": site.model_card},
        "/health": {"GET": partial(health, model=model, endpoint=endpoint)},
        **predicting,
        **feedback,
    }


def route(path: str) -> str:
    """Return the path as the table has it, without a request's id."""
    if A_LABEL.fullmatch(path):
        return LABEL
    return PREDICTION if A_PREDICTION.fullmatch(path) else path


def answer(request: Request, routes: Routes) -> Response:
    """Return the response to a request.

    Raises
    ------
    Problem
        404 or 405, or whatever the path's action raises.
    """
    methods = routes.get(route(request.path))
    if methods is None:
        raise Problem(404, f"There is nothing at {request.path[:100]}; the paths are {', '.join(routes)}.")
    allow = ", ".join(sorted({*methods, "OPTIONS", *({"HEAD"} if "GET" in methods else ())}))
    if request.method == "OPTIONS":
        return Response(204, headers={"Allow": allow})
    action = methods.get("GET" if request.method == "HEAD" else request.method)
    if action is None:
        detail = f"{request.path} allows {allow}, not {request.method[:20]}."
        raise Problem(405, detail, headers={"Allow": allow})
    return action(request)


def health(_request: Request, *, model: Model, endpoint: Endpoint) -> Response:
    """Return whether the endpoint is in service, and with which model."""
    status = endpoint.status()
    if status not in SERVING:
        raise endpoint_errors.transient(503, f"endpoint status {status}")
    members = {key: value for key, value in asdict(model).items() if value is not None}
    return _json({"status": "ok", "model": members})


def predict(request: Request, *, endpoint: Endpoint) -> Response:
    """Return the endpoint's prediction for the request's image."""
    answer = endpoint.predict(image_of(request), _attributes(request), request.id)
    members, watched = prediction.parse(answer)
    response = _json({**members, "request_id": request.id})
    return replace(response, outcome=metrics.OF_A_LABEL.get(members["label"]), watched=watched)


def answered_later(_request: Request) -> Response:
    """Refuse to wait for an answer."""
    raise Problem(404, "Predictions are answered later here: send the image to POST /predictions.")


def begin(request: Request, *, predictions: Predictions) -> Response:
    """Take an image that is answered later, or say where to upload it."""
    return predictions.begin(request, _attributes(request, frames=FRAME_OR_ALL))


def prediction_of(request: Request, *, predictions: Predictions, start: bool) -> Response:
    """Return the answer to an image that was sent before, or that there is none yet."""
    (request_id,) = A_PREDICTION.findall(request.path)
    return predictions.answer(request_id, start=start)


def label(request: Request, *, labels: Labels) -> Response:
    """Keep what the caller says that an image shows."""
    (request_id,) = A_LABEL.findall(request.path)
    return _json(labels.keep(request, request_id))


def _attributes(request: Request, *, frames: re.Pattern[str] = FRAME) -> str:
    """Return what the caller wants of an image, with what the container measures and logs besides."""
    options = {name: request.query[name] for name in ("preview", "frame") if name in request.query}
    options["heatmap"] = request.query.get("heatmap", "false")
    for name, value in options.items():
        if name != "frame" and value not in ("true", "false"):
            raise Problem(400, f"The parameter {name} must be true or false.")
    if "frame" in options and not frames.fullmatch(options["frame"]):
        raise Problem(400, "The parameter frame must be a number from 1 to 999999999, in digits only.")
    options["statistics"] = "true"  # for what watches the model, not for the caller
    options["request_id"] = request.id
    if request.traceparent:
        options["traceparent"] = request.traceparent
    return ";".join(f"{name}={value}" for name, value in options.items())


def _json(content: Mapping[str, object]) -> Response:
    return Response(200, "application/json", json.dumps(content), {"Cache-Control": "no-store"})
