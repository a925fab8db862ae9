"""The documents for people: the page, the API's description and the model's card.

Each is made when first asked for and kept, so that a prediction's cold start pays for none of them.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import asdict, replace
from functools import cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import docs
import prose
from access import told
from problems import Problem
from proxy import Request, Response
from upload import IMAGE_TYPES, MAX_IMAGE_BYTES

if TYPE_CHECKING:
    from access import Access

HERE = Path(__file__).parent
MODEL_CARD = HERE / "model-card.md"  # laid here when the stack is synthesized
# One script in this order: a page holds all that is its own, so that it is one request.
SCRIPTS = ("words", "heatmap", "send", "reading", "table", "gallery", "history", "page")
PLACE = re.compile(r"\{\{(\w+)\}\}")
INLINE = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)


def page(_request: Request, *, access: Access) -> Response:
    """Answer with the page on which a person classifies an image."""
    return _page(access)


def openapi(_request: Request, *, access: Access) -> Response:
    """Answer with the OpenAPI document of this deployment."""
    return _document("application/json", _openapi(access))


def api_docs(_request: Request, *, access: Access) -> Response:
    """Answer with the OpenAPI document as a page."""
    return _api_docs(access)


def model_card(request: Request) -> Response:
    """Answer with the served model's card: a page, or Markdown where only that is accepted.

    Raises
    ------
    Problem
        404 when the deployment came without a card.
    """
    if not MODEL_CARD.exists():
        raise Problem(404, "This deployment came without a model card.")
    accept = request.headers.get("accept", "")
    as_markdown = "text/markdown" in accept and "text/html" not in accept
    response = _card_as_markdown() if as_markdown else _card()
    return replace(response, headers={**response.headers, "Vary": "Accept"})


@cache
def _page(access: Access) -> Response:
    sign_in = access.sign_in
    text = _filled(
        _part("page.html"),
        style=_part("palette.css") + _part("page.css"),
        image_types=",".join(IMAGE_TYPES),
        max_bytes=str(MAX_IMAGE_BYTES),
        access=_filled(_text(f"ways_in/{access.mode}.html"), region=escape(access.region)),
        sign_in=escape(json.dumps(asdict(sign_in)) if sign_in else ""),
        script="".join(_part(f"{name}.js") for name in SCRIPTS) + _text(f"ways_in/{access.mode}.js"),
    )
    connected = ["'self'", *([sign_in.address] if sign_in else [])]
    return _html(text, "img-src blob: data:", f"connect-src {' '.join(connected)}")


@cache
def _api_docs(access: Access) -> Response:
    return _framed("API", docs.to_html(json.loads(_openapi(access))))


@cache
def _openapi(access: Access) -> str:
    return json.dumps(told(json.loads(_text("openapi.json")), access), ensure_ascii=False, indent=2)


@cache
def _card_as_markdown() -> Response:
    return _document("text/markdown; charset=utf-8", MODEL_CARD.read_text(encoding="utf-8"))


@cache
def _card() -> Response:
    card = prose.to_html(MODEL_CARD.read_text(encoding="utf-8"))
    return _framed("Model card", card, "img-src data:")  # its plots are in the card itself


def _framed(title: str, body: str, *more: str) -> Response:
    style = _part("palette.css") + _part("frame.css")
    return _html(_filled(_part("frame.html"), title=escape(title), style=style, body=body), *more)


def _filled(text: str, **values: str) -> str:
    """Return a text with a value in the place of each `{{name}}`; what a value holds is left as it is."""
    return PLACE.sub(lambda match: values[match[1]], text)


def _html(text: str, *more: str) -> Response:
    """Return a page whose policy lets in nothing but its own inline script and style, by their hashes."""
    hashes = {kind: _hash(code) for kind, code in INLINE.findall(text)}
    policy = [
        "default-src 'none'",
        *(f"{kind}-src '{digest}'" for kind, digest in hashes.items()),
        *more,
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
    return _document("text/html; charset=utf-8", text, {"Content-Security-Policy": "; ".join(policy)})


def _hash(code: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()}"


def _document(media_type: str, text: str, headers: dict[str, str] | None = None) -> Response:
    return Response(200, media_type, text, {"Cache-Control": "no-cache", **(headers or {})})


def _part(name: str) -> str:
    return _text(f"page/{name}")


def _text(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")
