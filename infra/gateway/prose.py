"""A small part of Markdown to HTML that cannot do harm: what the model's card and the API's descriptions use.

Headings, paragraphs, lists, tables, quotes and fenced code; within a line `code`, **bold**, *stressed*, https
links, and images that the text itself holds as PNG. Anything else stays the text it is, and every character
is escaped.
"""

from __future__ import annotations

import re
from html import escape
from itertools import takewhile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FENCE = "```"
HEADING = re.compile(r"#{1,6} .*")
ITEM = re.compile(r"(?P<mark>[-*]|\d+\.)\s+(?P<text>.*)")
RULE = re.compile(r"\|[\s:|-]*-[\s:|-]*")
# An image begins with PNG's own first bytes, in base64; with an address in their place it stays text.
INLINE = re.compile(
    r"`(?P<code>[^`]+)`"
    r"|\*\*(?P<strong>.+?)\*\*"
    r"|\*(?P<em>\w[^*]*)\*"
    r"|!\[(?P<alt>[^][]*)\]\((?P<png>data:image/png;base64,iVBORw0KGgo[A-Za-z0-9+/]+={0,2})\)"
    r"|(?<!!)\[(?P<label>[^][]+)\]\((?P<url>https://[^\s)]+)\)"
)

Block = tuple[str, int]  # its HTML, and how many lines it took


def to_html(markdown: str) -> str:
    """Return the HTML of a Markdown text, for the inside of a page's body."""
    return "\n".join(_blocks(markdown.splitlines()))


def inline(text: str) -> str:
    """Return the HTML of text within a line."""
    pieces, end = [], 0
    for match in INLINE.finditer(text):
        pieces += [escape(text[end : match.start()]), _span(match)]
        end = match.end()
    return "".join([*pieces, escape(text[end:])])


def _span(match: re.Match[str]) -> str:
    if match["png"]:
        return f'<img src="{match["png"]}" alt="{escape(match["alt"])}">'
    if match["url"]:
        return f'<a href="{escape(match["url"])}">{escape(match["label"])}</a>'
    tag = next(name for name in ("code", "strong", "em") if match[name])
    return f"<{tag}>{escape(match[tag])}</{tag}>"


def _blocks(lines: list[str]) -> Iterator[str]:
    position = 0
    while position < len(lines):
        if lines[position].strip():
            block, taken = _kind(lines[position:])(lines[position:])
            yield block
            position += taken
        else:
            position += 1


def _kind(lines: list[str]) -> Callable[[list[str]], Block]:
    """Return what reads the block that starts here."""
    first = lines[0]
    if first.startswith(FENCE):
        return _fenced
    if HEADING.fullmatch(first):
        return _heading
    if ITEM.fullmatch(first):
        return _list
    if first.startswith(">"):
        return _quote
    if first.startswith("|") and len(lines) > 1 and RULE.fullmatch(lines[1]):
        return _table
    return _paragraph


def _fenced(lines: list[str]) -> Block:
    code = list(takewhile(lambda line: not line.startswith(FENCE), lines[1:]))
    text = "\n".join(code)
    return f"<pre><code>{escape(text)}</code></pre>", len(code) + 2


def _heading(lines: list[str]) -> Block:
    marks, _, text = lines[0].partition(" ")
    return f"<h{len(marks)}>{inline(text.strip())}</h{len(marks)}>", 1


def _list(lines: list[str]) -> Block:
    taken = list(takewhile(lambda line: ITEM.fullmatch(line.strip()) or line.startswith(" "), lines))
    items: list[str] = []
    for line in taken:
        match = ITEM.fullmatch(line.strip())
        if match:
            items.append(match["text"])
        else:
            items[-1] += " " + line.strip()  # a line that goes on from the one above
    tag = "ol" if lines[0][0].isdigit() else "ul"
    return f"<{tag}>{''.join(f'<li>{inline(item)}</li>' for item in items)}</{tag}>", len(taken)


def _quote(lines: list[str]) -> Block:
    taken = list(takewhile(lambda line: line.startswith(">"), lines))
    inner = to_html("\n".join(line.removeprefix(">").removeprefix(" ") for line in taken))
    return f"<blockquote>{inner}</blockquote>", len(taken)


def _table(lines: list[str]) -> Block:
    rows = list(takewhile(lambda line: line.startswith("|"), lines))
    header, _, *body = rows
    head = f"<thead>{_row(header, 'th')}</thead>"
    table = f"<table>{head}<tbody>{''.join(_row(row, 'td') for row in body)}</tbody></table>"
    columns = ", ".join(cell.strip() for cell in header.strip("| ").split("|"))
    # Wider than a phone, it scrolls by itself, and who has no mouse needs to reach it for that.
    return (
        f'<div class="scroll" role="region" aria-label="Table: {escape(columns)}" tabindex="0">{table}</div>',
        len(rows),
    )


def _row(line: str, tag: str) -> str:
    cells = line.strip().strip("|").split("|")
    return f"<tr>{''.join(f'<{tag}>{inline(cell.strip())}</{tag}>' for cell in cells)}</tr>"


def _paragraph(lines: list[str]) -> Block:
    more = takewhile(lambda at: lines[at].strip() and _kind(lines[at:]) is _paragraph, range(1, len(lines)))
    taken = [lines[0], *(lines[at] for at in more)]
    return f"<p>{inline(' '.join(line.strip() for line in taken))}</p>", len(taken)
