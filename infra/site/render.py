"""Renders the site at synth; the gateway's Lambda serves the result as it is.

Only a deployment knows where people sign in: the Lambda fills in `{{sign_in_address}}` and the like.
"""

from __future__ import annotations

import json
import re
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markdown_it import MarkdownIt

from infra.lambdas.gateway.predictions import MAX_UPLOAD_BYTES
from infra.lambdas.gateway.upload import MAX_IMAGE_BYTES
from infra.paths import OPENAPI

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from markdown_it.renderer import RendererHTML
    from markdown_it.token import Token
    from markdown_it.utils import OptionsDict

    from infra.config.environment import Auth

Node = dict[str, Any]  # an object of the OpenAPI document

HERE = Path(__file__).parent
# In this order they are one script, so that the page is one request.
SCRIPTS = ("shared", "heatmap", "upload", "result", "export", "gallery", "history", "page")
LABEL_PATH = "/predictions/{request_id}/label"
ASYNC_PATHS = ("/predictions", "/predictions/{request_id}")
SIGN_IN = {key: f"{{{{sign_in_{key}}}}}" for key in ("address", "client_id", "scope")}
# An image must be in the text itself: a PNG's first bytes in base64.
PNG = re.compile(r"data:image/png;base64,iVBORw0KGgo[A-Za-z0-9+/]+={0,2}")


def render_site(
    *, auth: Auth, region: str, card: str, feedback: bool, asynchronous: bool = False
) -> Mapping[str, str]:
    """Return the site's files by name.

    The page's form and the document's security scheme follow `auth`; callers sign for `region`. The served
    model's `card` is Markdown; its HTML, scripts, remote images and links other than https are rendered as
    text. Only with `feedback` the page asks for labels and the document has their path; with `asynchronous`
    the page uploads images and asks again for their answers.
    """
    document = openapi(auth, feedback=feedback, asynchronous=asynchronous)
    theme = _text("theme.css")
    style = theme + _text("document.css")
    names = [*SCRIPTS, *(["feedback"] if feedback else []), *(["async"] if asynchronous else [])]
    scripts = [*(f"page/{name}.js" for name in names), f"auth/{auth}.js"]
    page = TEMPLATES.get_template("page/page.html.j2").render(
        style=theme + _text("page/page.css"),
        max_bytes=MAX_UPLOAD_BYTES if asynchronous else MAX_IMAGE_BYTES,
        sign_in=SIGN_IN if auth == "cognito" else None,
        auth=f"auth/{auth}.html.j2",
        region=region,
        feedback=feedback,
        script="".join(map(script, scripts)),
    )
    frame = TEMPLATES.get_template("document.html.j2")
    docs = TEMPLATES.get_template("docs.html.j2").render(document=document)
    return {
        "page.html": page,
        "dicom.js": _text("page/dicom.js"),
        "openapi.json": json.dumps(document, ensure_ascii=False, indent=2),
        "docs.html": frame.render(title="API", style=style, body=docs),
        "model-card.html": frame.render(title="Model card", style=style, body=markdown(card)),
        "model-card.md": card,
    }


def openapi(auth: Auth, *, feedback: bool, asynchronous: bool = False) -> Node:
    """Return the OpenAPI document of a deployment, with the one security scheme of its auth mode."""
    document: Node = json.loads(OPENAPI.read_text(encoding="utf-8"))
    paths, schemas = document["paths"], document["components"]["schemas"]
    for path in ["/predict"] if asynchronous else ASYNC_PATHS:
        del paths[path]
    if not asynchronous:
        del schemas["Accepted"]
    if not feedback:
        del paths[LABEL_PATH], schemas["Label"]
    schemes = document["components"].pop("securitySchemes")
    if auth == "none":
        return document
    scheme, scopes = schemes[auth], list[str]()
    if auth == "cognito":
        flow = scheme["flows"]["authorizationCode"]
        (meaning,) = flow["scopes"].values()
        scopes = [SIGN_IN["scope"]]
        flow["authorizationUrl"] = f"{SIGN_IN['address']}/oauth2/authorize"
        flow["tokenUrl"] = f"{SIGN_IN['address']}/oauth2/token"
        flow["scopes"] = {SIGN_IN["scope"]: meaning}
    document["components"]["securitySchemes"] = {auth: scheme}
    for methods in paths.values():
        if "post" in methods:
            methods["post"]["security"] = [{auth: scopes}]
    return document


def script(name: str) -> str:
    """Return a script of the page without its indents and lines of comment: they are a tenth of it."""
    return re.sub(r"^ *(//.*\n)?", "", _text(name), flags=re.MULTILINE)


def markdown(text: str) -> str:
    """Return the HTML of untrusted Markdown: raw HTML is escaped."""
    return str(MARKDOWN.render(text))


def _image(_self: RendererHTML, tokens: Sequence[Token], at: int, _options: OptionsDict, _env: object) -> str:
    source, alt = str(tokens[at].attrs["src"]), tokens[at].content
    if not PNG.fullmatch(source):
        return escape(f"![{alt}]({source})")
    return f'<img src="{source}" alt="{escape(alt)}">'


def _link_open(self: RendererHTML, tokens: Sequence[Token], at: int, options: OptionsDict, env: Any) -> str:
    if not str(tokens[at].attrs["href"]).startswith("https://"):
        del tokens[at].attrs["href"]  # an inline PNG is allowed as an image only
    return self.renderToken(tokens, at, options, env)


def _table_open(
    _self: RendererHTML, tokens: Sequence[Token], at: int, _options: OptionsDict, _env: object
) -> str:
    """Start a table that scrolls by itself on a narrow screen, and that the keyboard reaches for that."""
    end = next(i for i in range(at, len(tokens)) if tokens[i].type == "thead_close")
    columns = ", ".join(token.content for token in tokens[at:end] if token.type == "inline")
    label = f"Table: {escape(columns)}"
    return f'<div class="scroll" role="region" aria-label="{label}" tabindex="0"><table>\n'


def _markdown() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    parser.validateLink = lambda url: url.startswith("https://") or bool(PNG.fullmatch(url))  # type: ignore[method-assign]
    parser.add_render_rule("image", _image)
    parser.add_render_rule("link_open", _link_open)
    parser.add_render_rule("table_open", _table_open)
    parser.add_render_rule("table_close", lambda *_: "</table></div>\n")
    return parser


def _text(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def resolve(node: Node, document: Node) -> Node:
    """Return what a `$ref` of the document points at, or the node itself."""
    for key in node.get("$ref", "").removeprefix("#/").split("/") if "$ref" in node else ():
        document = document[key]
    return document if "$ref" in node else node


MARKDOWN = _markdown()
TEMPLATES = Environment(
    loader=FileSystemLoader(HERE),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
TEMPLATES.filters |= {
    "markdown": markdown,
    "inline": MARKDOWN.renderInline,
    "resolve": resolve,
    "pretty": lambda value: json.dumps(value, indent=2),
}
