"""The documents for people: safe whatever their text holds, and strict about what a browser may load."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import time
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest

import docs
import pages
import prose
from tests.gateway.events import event
from upload import IMAGE_TYPES, MAX_IMAGE_BYTES

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    from tests.gateway.conftest import Answer, Send

# docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html: of a synchronous answer
LAMBDA_MAX_ANSWER = 6_291_456
PLOT = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(3) + b"\rIHDR" + bytes(range(256))).decode()
CARD = f"""# Model card

> **Trained on drawings.** It says
> *nothing* about brains: 2 * 3 * 4.

Trained on **253 images** with `train`.

| figure | value |
|---|---|
| ROC AUC | 0.81 [0.74, 0.87] |

- groups, not images, are split
- a second one,
  over two lines

1. first
2. `a<b>`

```
scripts/train <folder>
```

![Calibration out of fold, "five" folds](data:image/png;base64,{PLOT})

<script>alert("x")</script> [the set](https://example.org/a?b=1&c="2) [no](javascript:alert(1))
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
def card(handler: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model-card.md"
    path.write_text(CARD)
    monkeypatch.setattr(pages, "MODEL_CARD", path)
    pages._card.cache_clear()
    pages._card_as_markdown.cache_clear()


def html_pages(send: Send) -> dict[str, Answer]:
    return {path: send(event("get_page", path=path)) for path in ("/", "/docs", "/model-card")}


@pytest.mark.usefixtures("card")
def test_pages_load_nothing_from_anywhere(send: Send) -> None:
    for answer in html_pages(send).values():
        for tag, attributes in Tags(answer.text).found:
            assert not tag.startswith("on")
            assert tag not in {"iframe", "object", "embed", "base", "form"}
            assert not {"style", "onclick", "onload", "onerror"} & attributes.keys()
            loaded = attributes.get("src") or (attributes.get("href") if tag == "link" else None)
            assert loaded is None or loaded.startswith("data:")


@pytest.mark.usefixtures("card")
def test_policies_let_in_only_the_pages_own_inline_code(send: Send) -> None:
    for answer in html_pages(send).values():
        policy = answer.headers["Content-Security-Policy"]
        inline = re.findall(r"<(script|style)[^>]*>(.*?)</\1>", answer.text, re.DOTALL)
        expected = {
            f"{kind}-src 'sha256-{base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()}'"
            for kind, code in inline
        }
        assert expected == set(re.findall(r"(?:script|style)-src '[^']+'", policy))
        sources = {source for directive in policy.split("; ") for source in directive.split()[1:]}
        assert {source for source in sources if "sha256-" not in source} <= {
            "'none'",
            "'self'",
            "blob:",
            "data:",
        }
        assert "base-uri 'none'" in policy
        assert "form-action 'none'" in policy


def test_the_page_is_small_and_carries_the_gateways_limits(send: Send) -> None:
    page = send(event("get_page")).text

    assert len(page.encode()) < 60_000
    body = next(attributes for tag, attributes in Tags(page).found if tag == "body")
    assert body == {
        "data-image-types": ",".join(IMAGE_TYPES),
        "data-max-bytes": str(MAX_IMAGE_BYTES),
        "data-sign-in": "",
    }
    assert "{{" not in page
    assert "Not a medical device" in page


def test_no_part_of_the_page_is_left_out(send: Send) -> None:
    served = "".join(send(event("get_page", path=path)).text for path in ("/", "/docs"))
    for part in sorted((pages.HERE / "page").iterdir()):
        if part.suffix in {".js", ".css"}:
            assert part.read_text() in served, part.name


def test_the_page_never_writes_markup(send: Send) -> None:
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", send(event("get_page")).text
    )


def test_the_docs_show_every_path_status_and_schema(send: Send, document: dict[str, Any]) -> None:
    page = send(event("get_page", path="/docs")).text

    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert f"<code>{method.upper()} {path}</code>" in page
            assert all(f"<code>{status}</code>" in page for status in operation["responses"])
    for name, schema in document["components"]["schemas"].items():
        assert f'id="schema-{name}"' in page
        assert all(f"<code>{member}</code>" in page for member in schema.get("properties", {}))
    for name, header in document["components"]["headers"].items():
        assert f"<code>{name}</code></td><td>{header['schema']['type']}" in page
    for parameter in document["paths"]["/predict"]["post"]["parameters"]:
        assert f"<code>{parameter['name']}</code></td><td>{parameter['in']}</td>" in page


def test_links_within_the_docs_lead_somewhere(send: Send) -> None:
    tags = Tags(send(event("get_page", path="/docs")).text).found

    ids = {attributes["id"] for _, attributes in tags if "id" in attributes}
    links = {
        link.removeprefix("#")
        for _, attributes in tags
        if (link := attributes.get("href") or "").startswith("#")
    }
    assert links
    assert links <= ids


def test_the_documents_text_cannot_become_markup(handler: ModuleType, document: dict[str, Any]) -> None:
    nasty = '<img src=x onerror="alert(1)">'

    def poisoned(node: Any) -> Any:
        if isinstance(node, dict):
            texts = ("title", "summary", "description")
            return {
                key: nasty if key in texts and isinstance(value, str) else poisoned(value)
                for key, value in node.items()
            }
        return node

    assert "<img" not in docs.to_html(poisoned(document))


@pytest.mark.usefixtures("card")
def test_the_card_is_a_page(send: Send) -> None:
    page = send(event("get_page", path="/model-card")).text

    for expected in (
        "<h1>Model card</h1>",
        "<blockquote><p><strong>Trained on drawings.</strong> It says <em>nothing</em> about brains: 2 * 3",
        "<p>Trained on <strong>253 images</strong> with <code>train</code>.</p>",
        "<th>figure</th>",
        "<td>0.81 [0.74, 0.87]</td>",
        "<ul><li>groups, not images, are split</li><li>a second one, over two lines</li></ul>",
        "<ol><li>first</li><li><code>a&lt;b&gt;</code></li></ol>",
        "<pre><code>scripts/train &lt;folder&gt;</code></pre>",
        "&lt;script&gt;",
        '<a href="https://example.org/a?b=1&amp;c=&quot;2">the set</a>',
    ):
        assert expected in page
    assert 'href="javascript:' not in page


@pytest.mark.usefixtures("card")
def test_the_cards_plots_are_shown_and_only_its_page_may_show_them(send: Send) -> None:
    answer = send(event("get_page", path="/model-card"))

    images = [attributes for tag, attributes in Tags(answer.text).found if tag == "img"]
    source = f"data:image/png;base64,{PLOT}"
    assert images == [{"src": source, "alt": 'Calibration out of fold, "five" folds'}]
    assert "img-src data:;" in answer.headers["Content-Security-Policy"]
    docs_policy = send(event("get_page", path="/docs")).headers["Content-Security-Policy"]
    assert "img-src" not in docs_policy


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
        " data:image/png;base64,iVBORw0KGgoAAA",
        "javascript:alert(1)",
    ],
)
def test_any_other_image_stays_text(handler: ModuleType, address: str) -> None:
    text = f"![a plot]({address})"

    assert prose.to_html(text) == f"<p>{html.escape(text)}</p>"


def test_an_images_description_cannot_become_markup(handler: ModuleType) -> None:
    shown = prose.to_html(f'![x" onerror="alert(1)><b>](data:image/png;base64,{PLOT})')

    ((_, image),) = [found for found in Tags(shown).found if found[0] != "p"]
    assert image.keys() == {"src", "alt"}


def test_a_card_of_many_plots_fits_an_answer_and_is_made_at_once(
    send: Send, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a card as large as its plots make it, with a table of many columns
    plot = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(3) + b"\r" + bytes(80_000)).decode()
    path = tmp_path / "model-card.md"
    path.write_text("\n\n".join([CARD, *(f"![Plot {n}](data:image/png;base64,{plot})" for n in range(8))]))
    monkeypatch.setattr(pages, "MODEL_CARD", path)
    pages._card.cache_clear()

    # When it is asked for
    began = time.process_time()
    answer = send(event("get_page", path="/model-card"))

    # Then it is all there, in a blink, and far below what a Lambda may answer
    assert time.process_time() - began < 1
    assert answer.text.count("<img") == 9
    assert 800_000 < len(json.dumps(answer.text)) < LAMBDA_MAX_ANSWER / 4
    pages._card.cache_clear()


@pytest.mark.usefixtures("card")
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
def test_the_card_is_markdown_where_only_that_is_accepted(
    send: Send, accept: str | None, media_type: str
) -> None:
    answer = send(event("get_page", path="/model-card", headers={"accept": accept}))

    assert answer.media_type == media_type
    assert answer.headers["Vary"] == "Accept"
    assert (answer.text == CARD) == (media_type == "text/markdown")


def test_without_a_card_its_path_is_404(send: Send, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pages, "MODEL_CARD", tmp_path / "model-card.md")

    assert send(event("get_page", path="/model-card")).status == 404


@pytest.mark.parametrize(
    "text",
    [
        "|",
        "|\n|-",
        "```",
        "#",
        "-",
        "1.",
        "**",
        "`",
        "[x](https://",
        "| a |\n|---|",
        "\x00",
        "- a\n\n- b",
        " - a",
    ],
)
def test_odd_markdown_is_shown_and_breaks_nothing(handler: ModuleType, text: str) -> None:
    assert isinstance(prose.to_html(text), str)


def test_the_openapi_document_is_served_without_the_ways_in_that_are_not_this_ones(
    send: Send, document: dict[str, Any]
) -> None:
    served = send(event("get_page", path="/openapi.json")).json

    components = {key: part for key, part in document["components"].items() if key != "securitySchemes"}
    assert served == {**document, "components": components}
