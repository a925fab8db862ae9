"""Serves the page, the API documentation and the model card, which infra/site renders at synth."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from .problems import Problem
from .proxy import Request, Response

if TYPE_CHECKING:
    from .predictions import Predictions
    from .settings import SignIn

SITE = Path(__file__).with_name("site")
INLINE = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)


class Site:
    """The documents in `SITE`. Each is read on first use: a prediction's cold start reads none.

    `sign_in` is where people sign in, `predictions` where the page uploads: only a deployment knows both.
    """

    def __init__(self, sign_in: SignIn | None, predictions: Predictions | None = None) -> None:
        self._sign_in = sign_in
        self._predictions = predictions
        self._text = cache(self._read)

    def page(self, _request: Request) -> Response:
        """Return the page that classifies images."""
        connect = ["'self'", *([self._sign_in.address] if self._sign_in else [])]
        connect += [self._predictions.upload_origin] if self._predictions else []
        return self.html(
            "page.html",
            "img-src blob: data:",
            f"connect-src {' '.join(connect)}",
            later=f" '{_hash(self._text('dicom.js'))}'",
        )

    def model_card(self, request: Request) -> Response:
        """Return the served model's card: as HTML, or as Markdown where only that is accepted.

        Raises
        ------
        Problem
            404 if the deployment has no card.
        """
        if not (SITE / "model-card.md").exists():
            raise Problem(404, "This deployment came without a model card.")
        accept = request.headers.get("accept", "")
        if "text/markdown" in accept and "text/html" not in accept:
            return self.document("model-card.md", "text/markdown; charset=utf-8", Vary="Accept")
        return self.html("model-card.html", "img-src data:", Vary="Accept")  # its plots are inline

    def html(self, name: str, *directives: str, later: str = "", **headers: str) -> Response:
        """Return a page whose policy allows only its own inline script and style, by their hashes.

        `later` is the hash of a script that the page adds to itself.
        """
        policy = [
            "default-src 'none'",
            *(
                f"{kind}-src '{_hash(code)}'{later if kind == 'script' else ''}"
                for kind, code in INLINE.findall(self._text(name))
            ),
            *directives,
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
        headers["Content-Security-Policy"] = "; ".join(policy)
        return self.document(name, "text/html; charset=utf-8", **headers)

    def document(self, name: str, media_type: str, **headers: str) -> Response:
        """Return a document as it is."""
        return Response(200, media_type, self._text(name), {"Cache-Control": "no-cache", **headers})

    def _read(self, name: str) -> str:
        text = (SITE / name).read_text(encoding="utf-8")
        for key, value in asdict(self._sign_in).items() if self._sign_in else ():
            text = text.replace(f"{{{{sign_in_{key}}}}}", value)  # checked at synth: plain characters
        return text


def _hash(code: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()}"
