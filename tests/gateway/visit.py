"""A visit to the page in a browser: what a person does there, and what goes on behind it."""

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

    from playwright.sync_api import FilePayload, Page

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

# The texts in view whose contrast is below 4.5 to 1 (WCAG 2.2, 1.4.3), each with its contrast.
FAINT_TEXTS = """() => {
  const channels = (colour) => colour.match(/[0-9.]+/g).map(Number);
  const luminance = (rgb) => rgb.slice(0, 3).map((value) => value / 255)
    .map((share) => share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4)
    .reduce((sum, share, at) => sum + share * [0.2126, 0.7152, 0.0722][at], 0);
  const ground = (element) => {
    const colour = channels(getComputedStyle(element).backgroundColor);
    return colour[3] === 0 && element.parentElement ? ground(element.parentElement) : colour;
  };
  const faint = [];
  for (const element of document.querySelectorAll("body *")) {
    const texts = [...element.childNodes].filter((node) => node.nodeType === 3).map((node) => node.data);
    const text = texts.join("").trim();
    if (!text || !element.checkVisibility() || ["SCRIPT", "NOSCRIPT"].includes(element.tagName)) continue;
    const lights = [channels(getComputedStyle(element).color), ground(element)].map(luminance);
    const contrast = (Math.max(...lights) + 0.05) / (Math.min(...lights) + 0.05);
    if (contrast < 4.5) faint.push([text.slice(0, 40), contrast]);
  }
  return faint;
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
    """A page that was opened, and what went on behind it."""

    page: Page
    url: str
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def open(self, suffix: str = "") -> None:
        self.page.goto(self.url + suffix)
        expect(self.page.locator("#model")).to_have_class(re.compile("up|down"))

    def choose(self, *files: FilePayload) -> None:
        self.page.set_input_files("#file", list(files))

    def hand_over(self, kind: str, *files: FilePayload) -> None:
        given = [
            {"name": one["name"], "type": one["mimeType"], "base64": base64.b64encode(one["buffer"]).decode()}
            for one in files
        ]
        self.page.evaluate(HAND_OVER, [kind, given])

    def faint_texts(self) -> list[object]:
        found: list[object] = self.page.evaluate(FAINT_TEXTS)
        return found

    def violations(self) -> list[object]:
        """Return what axe-core finds against WCAG 2.2 AA and good practice: rule, places, what is wrong."""
        self.page.evaluate(AXE.read_text())  # by the debugger, which no policy of the page's keeps out
        found: list[object] = self.page.evaluate(VIOLATIONS)
        return found

    def fits(self) -> bool:
        """Whether nothing is cut off at the side."""
        fits: bool = self.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        return fits

    def wait_until(self, happened: Callable[[], bool]) -> None:
        """Let the page go on until something has happened outside of it; fail after five seconds."""
        for _ in range(100):
            if happened():
                return
            self.page.wait_for_timeout(50)
        pytest.fail("it never happened")

    def expect_answer(self, label: str) -> None:
        expect(self.page.locator("#label")).to_have_text(label)
        expect(self.page.locator("#answer")).to_be_visible()

    def expect_problem(self, title: str, detail: str) -> None:
        expect(self.page.locator("#title")).to_have_text(title)
        expect(self.page.locator("#detail")).to_contain_text(detail)
        expect(self.page.locator("#title")).to_be_visible()
