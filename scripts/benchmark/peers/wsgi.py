"""The project's predictor behind WSGI, for gunicorn."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from container.predictor import Predictor

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

predictor = Predictor.load(Path(os.environ["MODEL_DIR"]))


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer GET /ping, and classify the image in the body of any other request."""
    content = b"{}"
    if environ["PATH_INFO"] != "/ping":
        image = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        content = json.dumps(predictor.predict(image)).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(content)))])
    return [content]
