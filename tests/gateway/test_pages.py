"""The rendered documents: safe whatever their text holds, and strict about what a browser may load."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest

from infra.site import render
from tests.gateway.events import event
from tests.gateway.label_store import FEEDBACK

if TYPE_CHECKING:
    from pathlib import Path

    from tests.gateway.conftest import Answer, Send

PLOT = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(3) + b"\rIHDR" + bytes(range(256))).decode()
CARD = f"""# Model card
| metric | value |
|---|---|
| ROC AUC | 0.81 [0.74, 0.87] |

```
scripts/train <folder>
```

![Calibration out of fold, "five" folds](data:image/png;base64,{PLOT})

<script>alert("x")</script> [the set](https://example.org/a?b=1&c=2) [no](javascript:alert(1))
"""


class Tags(HTMLParser):
    """Every element of a page with its attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    return environment | FEEDBACK


@pytest.fixture
def card() -> str:
    return CARD


@pytest.fixture
def pages(send: Send) -> dict[str, Answer]:
    """The HTML documents by their paths."""
    return {path: send(event("get_page", path=path)) for path in ("/", "/docs", "/model-card")}


def test_pages_load_nothing_from_elsewhere(pages: dict[str, Answer]) -> None:
    for answer in pages.values():
        for tag, attributes in Tags(answer.text).found:
            assert tag not in {"iframe", "object", "embed", "base", "form"}
            assert not {"style", "onclick", "onload", "onerror"} & attributes.keys()
            loaded = attributes.get("src") or (attributes.get("href") if tag == "link" else None)
            assert loaded is None or loaded.startswith("data:")


def test_policies_allow_only_the_pages_own_code(pages: dict[str, Answer], send: Send) -> None:
    later = send(event("get_page", path="/dicom.js")).text
    for path, answer in pages.items():
        policy = answer.headers["Content-Security-Policy"]
        inline = re.findall(r"<(script|style)[^>]*>(.*?)</\1>", answer.text, re.DOTALL)
        expected = {f"{kind}-src {digest(code)}" for kind, code in inline}
        if path == "/":
            expected = {f"{each} {digest(later)}" if each.startswith("script") else each for each in expected}
        assert expected == set(re.findall(r"(?:script|style)-src [^;]+", policy))
        sources = {source for directive in policy.split("; ") for source in directive.split()[1:]}
        hashes = {source for source in sources if "sha256-" in source}
        assert sources - hashes <= {"'none'", "'self'", "blob:", "data:"}
        assert "base-uri 'none'" in policy
        assert "form-action 'none'" in policy
        assert ("img-src" in policy) == (path != "/docs")


def digest(code: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()}'"


@pytest.mark.parametrize("asynchronous", [False, True])
def test_the_docs_show_every_path_status_and_schema(pages: dict[str, Answer], asynchronous: bool) -> None:
    page, document = pages["/docs"].text, render.openapi("none", feedback=True, asynchronous=asynchronous)
    if asynchronous:
        site = render.render_site(auth="none", region="", card="", feedback=True, asynchronous=True)
        page = site["docs.html"]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert f"<code>{method.upper()} {path}</code>" in page
            assert all(f"<code>{status}</code>" in page for status in operation["responses"])
    for name, schema in document["components"]["schemas"].items():
        assert f'id="schema-{name}"' in page
        assert all(f"<code>{member}</code>" in page for member in schema.get("properties", {}))
    for name, header in document["components"]["headers"].items():
        assert f"<code>{name}</code></td><td>{header['schema']['type']}" in page
    for parameter in next(iter(document["paths"].values()))["post"]["parameters"]:
        assert f"<code>{parameter['name']}</code></td><td>{parameter['in']}</td>" in page
    assert "(1 to 4,194,304 bytes)" in page


def test_links_within_the_docs_have_their_targets(pages: dict[str, Answer]) -> None:
    tags = Tags(pages["/docs"].text).found
    ids = {attributes["id"] for _, attributes in tags if "id" in attributes}
    hrefs = (attributes.get("href") or "" for _, attributes in tags)
    links = {href.removeprefix("#") for href in hrefs if href.startswith("#")}
    assert links
    assert links <= ids


def test_the_documents_text_cannot_become_markup(
    document: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    payload = '<img src=x onerror="alert(1)">'

    def poisoned(members: dict[str, Any]) -> dict[str, Any]:
        texts = {name for name in ("title", "summary", "description") if isinstance(members.get(name), str)}
        return members | dict.fromkeys(texts, payload)

    path = tmp_path / "openapi.json"
    path.write_text(json.dumps(json.loads(json.dumps(document), object_hook=poisoned)))
    monkeypatch.setattr(render, "OPENAPI", path)
    rendered = render.render_site(auth="api_key", region="eu-west-1", card="", feedback=True)["docs.html"]
    assert "&lt;img" in rendered
    assert "<img" not in rendered


def test_the_card_is_a_page_with_its_plots(pages: dict[str, Answer]) -> None:
    answer = pages["/model-card"]
    for expected in (
        "<h1>Model card</h1>",
        'role="region" aria-label="Table: metric, value" tabindex="0">',
        "<td>0.81 [0.74, 0.87]</td>",
        "<pre><code>scripts/train &lt;folder&gt;\n</code></pre>",
        "&lt;script&gt;",
        '<a href="https://example.org/a?b=1&amp;c=2">the set</a>',
        "[no](javascript:alert(1))",
    ):
        assert expected in answer.text
    images = [attributes for tag, attributes in Tags(answer.text).found if tag == "img"]
    source = f"data:image/png;base64,{PLOT}"
    assert images == [{"src": source, "alt": 'Calibration out of fold, "five" folds'}]
    assert "img-src data:;" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "address",
    [
        "https://example.org/a.png",
        "plot.png",
        "data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9YWxlcnQoMSk+",
        "data:text/html;base64,iVBORw0KGgo=",
        "data:image/png,iVBORw0KGgoAAA",
        "data:image/png;base64,PHNjcmlwdD4=",
        'data:image/png;base64,iVBORw0KGgoAAA" onerror="alert(1)',
        "data:image/png;base64,iVBORw0KGgoAAA&#34;",
        "data:image/png;base64,iVBORw0KGgoAAA===",
        "DATA:image/png;base64,iVBORw0KGgoAAA",
        "javascript:alert(1)",
    ],
)
def test_any_other_image_stays_text(address: str) -> None:
    rendered = render.markdown(f"![a plot]({address})")
    assert [tag for tag, _ in Tags(rendered).found] == ["p"]
    assert "a plot" in rendered


@pytest.mark.parametrize(
    "address", ["http://example.org", "javascript:alert(1)", "card", f"data:image/png;base64,{PLOT}"]
)
def test_only_https_links_are_links(address: str) -> None:
    assert "href" not in render.markdown(f"[a link]({address})")


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("text/markdown", "text/markdown"),
        ("text/markdown, */*;q=0.1", "text/markdown"),
        ("text/html,*/*;q=0.8", "text/html"),
        ("text/html, text/markdown", "text/html"),
        ("*/*", "text/html"),
        (None, "text/html"),
    ],
)
def test_the_card_is_markdown_if_only_that_is_accepted(
    send: Send, accept: str | None, media_type: str
) -> None:
    answer = send(event("get_page", path="/model-card", headers={"accept": accept}))
    assert answer.headers["Content-Type"].partition(";")[0] == media_type
    assert answer.headers["Vary"] == "Accept"
    assert answer.headers["Cache-Control"] == "no-cache"
    assert (answer.text == CARD) == (media_type == "text/markdown")


def test_without_a_card_its_path_is_404(send: Send, site: Path) -> None:
    (site / "model-card.md").unlink()
    assert send(event("get_page", path="/model-card")).status == 404
