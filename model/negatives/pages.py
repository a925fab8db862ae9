"""Pictures of writing: pages, forms, screens, labels, code, a hand's scrawl."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from .canvas import WORK, Points, chance, curve, finish, font

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.random import Generator

_SYLLABLES = (
    *("ba", "con", "de", "er", "fi", "gra", "hol", "in", "ka", "lum", "me", "nor", "o", "per", "qui", "re"),
    *("sta", "ti", "u", "ver", "wen", "xi", "yo", "zer", "al", "tion", "ment", "ing", "den", "sch", "tor"),
)
_SPACES = 0.45  # of the syllables end a word
_SIZES = (8, 9, 10, 11, 12, 14, 16, 18, 22, 28, 36, 48, 64)
_SHARPER = 2  # pages have finer detail than drawings, so that letters stay letters


class Page:
    """A sheet with a ground and an ink that writes on it."""

    def __init__(self, rng: Generator, *, aspect: float, dark: float = 0.25) -> None:
        self.rng = rng
        longer = WORK * _SHARPER
        self.width = round(longer * min(1.0, aspect))
        self.height = round(longer / max(1.0, aspect))
        light, ink = int(rng.integers(200, 256)), int(rng.integers(0, 90))
        self.ground, self.ink = (ink // 2, light) if chance(rng, dark) else (light, ink)
        self.image = Image.new("L", (self.width, self.height), self.ground)
        self.drawing = ImageDraw.Draw(self.image)

    def between(self, share: float) -> int:
        """Return the level this far from the ground to the ink."""
        return round(self.ground + share * (self.ink - self.ground))

    def write(self, x: float, y: float, text: str, *, size: int, level: int | None = None) -> None:
        """Set text with its upper left corner here."""
        self.drawing.text((x, y), text, fill=self.ink if level is None else level, font=font(size))

    def paragraph(self, left: float, top: float, right: float, bottom: float, *, size: int) -> None:
        """Fill a box with lines of words; the last line is short."""
        fits = max(1, int((right - left) / (0.52 * size)))
        lines = int((bottom - top) / (1.3 * size))
        for line in range(lines):
            reach = fits if line < lines - 1 else max(1, fits // 2)
            text = words(self.rng, letters=reach)[:reach]
            self.write(left, top + 1.3 * size * line, text, size=size)

    def done(self) -> Image.Image:
        """Photograph or scan the page: askew, unevenly lit, blurred, or as it is."""
        image, rng = self.image, self.rng
        if chance(rng, 0.4):
            fill = int(rng.choice([self.ground, 0, 128]))
            image = image.rotate(rng.normal(0, 6), Image.Resampling.BILINEAR, fillcolor=fill)
        if chance(rng, 0.4):
            image = image.filter(ImageFilter.BoxBlur(rng.uniform(0.3, 1.5)))
        if chance(rng, 0.4):
            light = np.linspace(rng.uniform(0.5, 1), rng.uniform(0.5, 1), image.width, dtype=np.float32)
            image = Image.fromarray((np.asarray(image) * light).astype(np.uint8))
        return finish(image, rng)


def words(rng: Generator, *, letters: int) -> str:
    """Return made-up words of at least this many letters in all."""
    picks = rng.integers(len(_SYLLABLES), size=letters)
    breaks = rng.random(letters) < _SPACES
    text, length = [], 0
    for pick, space in zip(picks.tolist(), breaks.tolist(), strict=True):
        text.append(_SYLLABLES[pick] + (" " if space else ""))
        length += len(text[-1])
        if length >= letters:
            break
    return "".join(text).capitalize()


def _size(rng: Generator, low: int, high: int) -> int:
    return int(rng.choice([size for size in _SIZES if low <= size <= high]))


def letter(rng: Generator) -> Image.Image:
    """A page of one or more columns with a heading and paragraphs, perhaps a picture's grey box."""
    page = Page(rng, aspect=rng.uniform(0.65, 1.4))
    margin, columns, size = page.width * rng.uniform(0.04, 0.15), int(rng.integers(1, 4)), _size(rng, 8, 18)
    top = margin
    if chance(rng, 0.7):
        heading = _size(rng, 22, 48)
        page.write(margin, top, words(rng, letters=14), size=heading)
        top += 1.5 * heading
    column = (page.width - margin * (columns + 1)) / columns
    for left in (margin + number * (column + margin) for number in range(columns)):
        y = top
        while y < page.height - margin:
            high = min(page.height - margin - y, size * rng.uniform(4, 16))
            if chance(rng, 0.12):
                page.drawing.rectangle(
                    [left, y, left + column, y + high * 0.9], fill=page.between(rng.uniform(0.2, 0.7))
                )
            else:
                page.paragraph(left, y, left + column, y + high, size=size)
            y += high + size
    return page.done()


def form(rng: Generator) -> Image.Image:
    """A form: labels, boxes, ticks, rules."""
    page = Page(rng, aspect=rng.uniform(0.65, 1.3), dark=0.15)
    size, left = _size(rng, 9, 16), page.width * 0.07
    page.write(left, size, words(rng, letters=18), size=2 * size)
    y = 4.0 * size
    while y < page.height - 3 * size:
        page.write(left, y, words(rng, letters=int(rng.integers(5, 14))), size=size)
        box = [page.width * 0.42, y - 0.3 * size, page.width * rng.uniform(0.6, 0.93), y + 1.5 * size]
        style = rng.choice(["box", "rule", "ticks", "shade"])
        if style == "box":
            page.drawing.rectangle(box, outline=page.ink, width=1)
        elif style == "rule":
            page.drawing.line([box[0], box[3], box[2], box[3]], fill=page.ink)
        elif style == "ticks":
            for mark in range(3):
                x = box[0] + 5 * size * mark
                page.drawing.rectangle([x, y, x + size, y + size], outline=page.ink)
                if chance(rng, 0.4):
                    page.drawing.line([x, y, x + size, y + size], fill=page.ink, width=2)
        else:
            page.drawing.rectangle(box, fill=page.between(0.15))
        if chance(rng, 0.6):
            page.write(box[0] + 4, y, words(rng, letters=10), size=size, level=page.between(0.8))
        y += size * rng.uniform(2.2, 3.2)
    return page.done()


def screen(rng: Generator) -> Image.Image:
    """A program's window: bars, a list at the side, cards, buttons, icons."""
    page = Page(rng, aspect=rng.uniform(0.5, 1.9), dark=0.5)
    width, height, size = page.width, page.height, _size(rng, 8, 14)
    bar, side = 2.4 * size, width * rng.uniform(0.0, 0.3)
    page.drawing.rectangle([0, 0, width, bar], fill=page.between(rng.uniform(0.2, 0.9)))
    page.write(size, 0.5 * size, words(rng, letters=10), size=size, level=page.ground)
    page.drawing.rectangle([0, bar, side, height], fill=page.between(0.12))
    for y in np.arange(bar + size, height - size, 2.0 * size) if side > 5 * size else ():
        page.drawing.ellipse([size / 2, y, 1.3 * size, y + 0.8 * size], fill=page.between(0.5))
        page.write(1.8 * size, y, words(rng, letters=8)[:9], size=size, level=page.between(0.8))
    y = bar + size
    while y < height - 4 * size:
        high, x = size * rng.uniform(4, 14), side + size
        across = int(rng.integers(1, 4))
        wide = (width - side - size) / across
        for _ in range(across):
            box = [x, y, x + wide - size, min(height - size, y + high)]
            page.drawing.rounded_rectangle(
                box, radius=4, outline=page.between(0.35), fill=page.between(rng.choice([0, 0.07]))
            )
            if chance(rng, 0.35):
                page.drawing.rectangle(
                    [x + 4, y + 4, box[2] - 4, box[3] - 4], fill=page.between(rng.uniform(0.1, 0.8))
                )
            else:
                page.paragraph(x + 5, y + 5, box[2] - 5, box[3], size=size)
            x += wide
        y += high + size
    return page.done()


def label(rng: Generator) -> Image.Image:
    """A sign or a label: few large words, a frame, a row of bars."""
    page = Page(rng, aspect=rng.uniform(0.6, 2.2), dark=0.5)
    y = page.height * rng.uniform(0.05, 0.25)
    while y < page.height * 0.85:
        size = _size(rng, 22, 64)
        text = words(rng, letters=int(rng.integers(2, 9))).strip()
        if chance(rng, 0.25):
            text = str(int(rng.integers(10**6)))
        page.write(
            page.width * rng.uniform(0.05, 0.3), y, text.upper() if chance(rng, 0.4) else text, size=size
        )
        y += size * rng.uniform(1.2, 2.0)
        if chance(rng, 0.2):
            x = page.width * 0.1
            while x < page.width * 0.9:
                bar = float(rng.integers(1, 6))
                page.drawing.rectangle([x, y, x + bar, y + 50], fill=page.ink)
                x += bar + float(rng.integers(2, 7))
            y += 70
    if chance(rng, 0.4):
        page.drawing.rectangle(
            [6, 6, page.width - 7, page.height - 7], outline=page.ink, width=int(rng.integers(1, 9))
        )
    if chance(rng, 0.25):
        page.drawing.ellipse(
            [2, 2, page.width - 3, page.height - 3], outline=page.ink, width=int(rng.integers(2, 12))
        )
    return page.done()


def code(rng: Generator) -> Image.Image:
    """A program's text or a log: short indented lines with their numbers, most often light on dark."""
    page = Page(rng, aspect=rng.uniform(0.7, 1.7), dark=0.7)
    size, indent = _size(rng, 8, 14), 0
    for number, y in enumerate(np.arange(size, page.height - size, 1.35 * size)):
        page.write(4, y, str(number + 1), size=size, level=page.between(0.35))
        indent = int(np.clip(indent + rng.integers(-1, 2), 0, 5))
        x = size * (3 + 2.0 * indent)
        for _ in range(int(rng.integers(0, 5))):
            word = words(rng, letters=int(rng.integers(2, 9))).lower().strip()
            page.write(x, y, word, size=size, level=page.between(float(rng.choice([1.0, 0.75, 0.5]))))
            x += page.drawing.textlength(word + "  ", font=font(size))
    return page.done()


def scrawl(rng: Generator) -> Image.Image:
    """Notes by hand: lines of loops, sums, an arrow, a ring round a word."""
    page = Page(rng, aspect=rng.uniform(0.7, 1.5))
    size, thick = rng.uniform(9, 30), int(rng.integers(1, 4))
    y = 1.5 * size
    while y < page.height - size:
        x = page.width * rng.uniform(0.03, 0.15)
        end = page.width * rng.uniform(0.4, 0.97)
        while x < end:
            count = int(rng.integers(4, 14))
            knots = np.stack(
                [
                    x + 0.33 * size * np.arange(count) + rng.normal(0, 0.16 * size, count),
                    y + rng.normal(0, 0.3 * size, count),
                ],
                axis=1,
            )
            _ink(page, curve(knots, closed=False, steps=5), thick)
            x = float(knots[-1, 0]) + 0.7 * size
        y += size * rng.uniform(1.3, 2.2)
    if chance(rng, 0.4):
        around = np.linspace(0, 2.1 * math.pi, 30)
        x, y = rng.uniform(0.3, 0.7, size=2) * (page.width, page.height)
        _ink(page, np.stack([x + 4 * size * np.cos(around), y + 1.3 * size * np.sin(around)], axis=1), thick)
    return page.done()


def _ink(page: Page, line: Points, thick: int) -> None:
    page.drawing.line(line.ravel().tolist(), fill=page.ink, width=thick)


DRAWINGS: tuple[Callable[[Generator], Image.Image], ...] = (letter, form, screen, label, code, scrawl)
