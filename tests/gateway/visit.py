"""A visit to the page in a browser: what a person does there, and what the browser reports."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import expect

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import FilePayload, FloatRect, Page

# Hands files to the page as a drop or a paste does; Playwright has no call for either.
HAND_OVER = """([kind, files]) => {
  const data = new DataTransfer();
  for (const { name, type, base64 } of files)
    data.items.add(new File([Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))], name, { type }));
  const init = { bubbles: true, cancelable: true };
  document.body.dispatchEvent(kind === "drop"
    ? new DragEvent("drop", { ...init, dataTransfer: data })
    : new ClipboardEvent("paste", { ...init, clipboardData: data }));
}"""

AXE = Path(__file__).resolve().parents[2] / "node_modules" / "axe-core" / "axe.min.js"
VIOLATIONS = """async () => {
  const runOnly = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
  const { violations } = await axe.run(document, { preload: false, runOnly });
  return violations.map(({ id, nodes }) => [id, nodes.map((node) => [node.html, node.failureSummary])]);
}"""


def draw(width: int = 300, height: int = 400, kind: str = "PNG") -> bytes:
    """Return the bytes of a drawn head."""
    image = Image.new("L", (width, height), 8)
    ImageDraw.Draw(image).ellipse((20, 20, width - 20, height - 20), fill=120, outline=220, width=8)
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def file(name: str = "a scan.png", mime: str = "image/png", content: bytes | None = None) -> FilePayload:
    return {"name": name, "mimeType": mime, "buffer": draw() if content is None else content}


@dataclass
class Visit:
    """An open page, with the requests that it sent and the console's messages."""

    page: Page
    url: str
    requests: list[str] = field(default_factory=list)
    console: list[str] = field(default_factory=list)
    other_origins: list[str] = field(default_factory=list)  # from which it may load as well

    def open(self, suffix: str = "") -> None:
        self.page.goto(self.url + suffix)
        expect(self.page.locator("#model")).to_have_class(re.compile("up|down"))

    def choose(self, *files: FilePayload) -> None:
        self.page.set_input_files("#file", list(files))

    def submit(self, *files: FilePayload) -> None:
        """Open the page and choose the files, by default a drawn head."""
        self.open()
        self.choose(*(files or [file()]))

    def classify(self, *files: FilePayload, label: str = "YES") -> None:
        """Do as `submit`, and wait for the answer."""
        self.submit(*files)
        self.expect_answer(label)

    def hand_over(self, kind: str, *files: FilePayload) -> None:
        given = [
            {"name": one["name"], "type": one["mimeType"], "base64": base64.b64encode(one["buffer"]).decode()}
            for one in files
        ]
        self.page.evaluate(HAND_OVER, [kind, given])

    def violations(self) -> list[object]:
        """Return what axe-core finds against WCAG 2.2 AA, contrast included, and best practices."""
        self.page.evaluate(AXE.read_text())  # through the debugger, which the page's policy does not restrict
        return list(self.page.evaluate(VIOLATIONS))

    def box(self, selector: str) -> FloatRect:
        """Return where a visible element lies."""
        box = self.page.locator(selector).bounding_box()
        assert box
        return box

    def has_no_overflow(self) -> bool:
        """Whether nothing is cut off at the side."""
        return bool(self.page.evaluate("document.documentElement.scrollWidth <= innerWidth"))

    def wait_until(self, happened: Callable[[], bool]) -> None:
        """Let the page run until a condition outside of it holds; fail after five seconds."""
        for _ in range(100):
            if happened():
                return
            self.page.wait_for_timeout(50)
        pytest.fail("the condition never held")

    def stores(self) -> tuple[dict[str, str], dict[str, str]]:
        """Return the browser's local storage and the tab's session storage."""
        local, session = self.page.evaluate("[{ ...localStorage }, { ...sessionStorage }]")
        return local, session

    def expect_answer(self, label: str) -> None:
        expect(self.page.locator("#label")).to_have_text(label)
        expect(self.page.locator("#answer")).to_be_visible()

    def expect_problem(self, title: str, detail: str) -> None:
        expect(self.page.locator("#title")).to_have_text(title)
        expect(self.page.locator("#detail")).to_contain_text(detail)
        expect(self.page.locator("#title")).to_be_visible()
