"""Pictures of nothing: noise of many grains, and what is flat or nearly so."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from .canvas import Canvas, Plane, chance, curve, develop, finish, lumpy, near, picture

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.random import Generator
    from PIL import Image


def _blank(rng: Generator) -> Canvas:
    return Canvas(rng, aspect=math.exp(rng.normal(0, 0.25)))


def _stretched(plane: Plane, rng: Generator) -> Plane:
    """Stretch to a contrast of its own within [0, 1]."""
    low, high = np.percentile(plane, [1, 99])
    dark, bright = rng.uniform(0, 0.4), rng.uniform(0.5, 1.0)
    stretched: Plane = dark + (plane - low) / max(high - low, 1e-6) * (bright - dark)
    return stretched


def white(rng: Generator) -> Image.Image:
    """Each pixel for itself: Gaussian, even, or salt and pepper."""
    canvas = _blank(rng)
    shape = canvas.plane.shape
    kind = rng.integers(3)
    if kind == 0:
        canvas.plane = rng.uniform(0.2, 0.6) + rng.uniform(0.1, 0.4) * rng.standard_normal(shape, np.float32)
    elif kind == 1:
        canvas.plane = rng.random(shape, np.float32)
    else:
        draws = rng.random(shape, np.float32)
        share = rng.uniform(0.02, 0.3)
        canvas.plane = np.where(draws < share, 0, np.where(draws > 1 - share, 1, rng.uniform(0.2, 0.8)))
    return finish(picture(canvas.plane), rng)


def coloured_noise(rng: Generator) -> Image.Image:
    """Noise whose power falls with the frequency, from grain to cloud."""
    return finish(picture(_stretched(_cloud(_blank(rng), rng.uniform(0.5, 2.2)), rng)), rng)


def _cloud(canvas: Canvas, fall: float) -> Plane:
    spectrum = np.fft.rfft2(canvas.rng.standard_normal(canvas.plane.shape, np.float32))
    rows = np.fft.fftfreq(canvas.height)[:, np.newaxis]
    columns = np.fft.rfftfreq(canvas.width)[np.newaxis]
    spectrum /= np.maximum(np.hypot(rows, columns), 1 / max(canvas.plane.shape)) ** fall
    cloud: Plane = np.fft.irfft2(spectrum, s=canvas.plane.shape).astype(np.float32)
    return cloud


def speckle(rng: Generator) -> Image.Image:
    """Brightness times noise, as in radar and ultrasound."""
    canvas = _blank(rng)
    scene = 0.35 + 0.2 * canvas.texture(int(rng.integers(2, 9)))
    grain = np.hypot(*(canvas.texture(int(rng.integers(40, 110))) for _ in range(2)))
    canvas.plane = np.clip(scene, 0.02, 1) * grain
    return finish(picture(canvas.plane), rng)


def blocks(rng: Generator) -> Image.Image:
    """Squares or bars of random levels."""
    canvas = _blank(rng)
    rows, columns = rng.integers(4, 50, size=2)
    if chance(rng, 0.25):
        rows = 1
    levels = rng.random((rows, columns), np.float32) ** rng.uniform(0.5, 3)
    down = np.linspace(0, rows - 1e-3, canvas.height).astype(int)
    across = np.linspace(0, columns - 1e-3, canvas.width).astype(int)
    return finish(picture(levels[down][:, across]), rng)


def static(rng: Generator) -> Image.Image:
    """A screen without a signal: lines, grain and a rolling bar."""
    canvas = _blank(rng)
    lines = rng.standard_normal((canvas.height, 1), np.float32) * rng.uniform(0.05, 0.3)
    bar = np.exp(-(((canvas.y - rng.uniform(-1, 1)) / rng.uniform(0.05, 0.4)) ** 2))
    grain = rng.standard_normal(canvas.plane.shape, np.float32) * rng.uniform(0.1, 0.3)
    canvas.plane = 0.4 + lines + grain + rng.uniform(-0.4, 0.4) * bar
    return finish(picture(canvas.plane), rng)


def noisy_disc(rng: Generator) -> Image.Image:
    """Noise of one grain in the outline of a head: what has neither skull nor folds is no brain."""
    canvas = _blank(rng)
    reach = min(canvas.aspect, 1)
    outline = lumpy(rng, 0, 0, reach * rng.uniform(0.6, 0.95), rng.uniform(0.6, 0.95), lumps=0.05)
    inside = _stretched(_cloud(canvas, rng.uniform(0, 1.5)), rng)
    canvas.lay(canvas.area(outline), inside)
    if chance(rng, 0.3):
        canvas.add(canvas.strokes([np.concatenate([outline, outline[:1]])], 0.06), 0.5)
    return develop(canvas.plane, rng, bend=0.01)


def spots(rng: Generator) -> Image.Image:
    """Bumps of one size, cut at a level: islands on a ground."""
    canvas = _blank(rng)
    field = canvas.texture(int(rng.integers(5, 40)))
    canvas.plane = np.clip((field - rng.uniform(-0.5, 1.0)) * rng.uniform(1, 8), 0, 1)
    return develop(canvas.plane, rng, outside=None)


def spectrum(rng: Generator) -> Image.Image:
    """The frequencies of a scan instead of the scan: a bright middle, rays and noise."""
    canvas = _blank(rng)
    far = np.hypot(canvas.x / rng.uniform(0.5, 1.5), canvas.y)
    power = np.exp(-far * rng.uniform(2, 7)) * rng.uniform(1, 2.5)
    grain = np.hypot(*rng.standard_normal((2, *canvas.plane.shape), np.float32))
    rays = np.exp(-((canvas.x / 0.02) ** 2)) + np.exp(-((canvas.y / 0.02) ** 2))
    canvas.plane = 0.1 * np.log1p(grain * 2) + power * np.sqrt(grain) * 0.7 + rng.uniform(0, 0.3) * rays
    return finish(picture(canvas.plane), rng)


NOISE = (white, coloured_noise, speckle, blocks, static, noisy_disc, spots, spectrum)


def constant(rng: Generator) -> Image.Image:
    """One level, with a trace of noise or none."""
    canvas = _blank(rng)
    canvas.plane = rng.uniform(0, 1) + rng.uniform(0, 0.06) * rng.standard_normal(
        canvas.plane.shape, np.float32
    )
    return finish(picture(canvas.plane), rng, border=0.5)


def gradient(rng: Generator) -> Image.Image:
    """From one level to another along a line or from the middle to the rim."""
    canvas = _blank(rng)
    angle = rng.uniform(0, 2 * math.pi)
    if chance(rng, 0.5):
        canvas.plane = canvas.x * math.cos(angle) + canvas.y * math.sin(angle)
    else:
        canvas.plane = canvas.distance(
            *rng.normal(0, 0.2, size=2), *rng.uniform(0.6, 1.4, size=2), tilt=angle
        )
    levels = _stretched(canvas.plane, rng)
    return finish(picture(levels if chance(rng, 0.5) else 1 - levels), rng)


def glow(rng: Generator) -> Image.Image:
    """Soft lights on black, or a lit middle with dark corners."""
    canvas = _blank(rng)
    for _ in range(int(rng.integers(1, 4))):
        x, y = rng.normal(0, 0.35, size=2)
        far = canvas.distance(x, y, *rng.uniform(0.15, 0.9, size=2), tilt=rng.uniform(0, math.pi))
        canvas.add(np.exp(-(far ** rng.uniform(1.5, 6))), rng.uniform(0.3, 0.9))
    return develop(canvas.plane, rng, outside=None)


def disc(rng: Generator) -> Image.Image:
    """One even disc or ellipse, or a few inside each other: the outline of a head and nothing in it."""
    canvas = _blank(rng)
    width, height = rng.uniform(0.3, 0.95, size=2) * (canvas.aspect, 1)
    for _ in range(int(rng.integers(1, 4))):
        mask = canvas.ellipse(
            *near(rng, 0, 0, spread=0.03), width, height, soft=float(rng.choice([1.5, 4, 20]))
        )
        canvas.lay(mask, rng.uniform(0.15, 1.0))
        width, height = (width, height) * rng.uniform(0.4, 0.97, size=2)
    return develop(canvas.plane, rng, bend=float(rng.choice([0, 0.015])))


def ring(rng: Generator) -> Image.Image:
    """A closed line, round or not, thin or thick, and nothing else."""
    canvas = _blank(rng)
    width, height = rng.uniform(0.4, 0.9, size=2) * (canvas.aspect, 1)
    outline = lumpy(rng, 0, 0, width, height, lumps=rng.choice([0, 0.06]))
    line = canvas.strokes(
        [np.concatenate([outline, outline[:1]])], rng.uniform(0.01, 0.15), soft=rng.uniform(0.5, 3)
    )
    canvas.lay(line, rng.uniform(0.5, 1))
    return develop(canvas.plane, rng)


def halves(rng: Generator) -> Image.Image:
    """Two to a few even fields with straight or waved borders."""
    canvas = _blank(rng)
    canvas.plane += rng.uniform(0, 1)
    angle = rng.uniform(0, 2 * math.pi)
    along = canvas.x * math.cos(angle) + canvas.y * math.sin(angle) + rng.uniform(0, 0.2) * canvas.texture(4)
    for _ in range(int(rng.integers(1, 4))):
        canvas.lay(
            np.clip((along - rng.uniform(-0.8, 0.8)) / rng.uniform(0.01, 0.1), 0, 1), rng.uniform(0, 1)
        )
    return develop(canvas.plane, rng, outside=None)


def panel(rng: Generator) -> Image.Image:
    """A few even shapes with corners."""
    canvas = _blank(rng)
    canvas.plane += rng.choice([0.0, rng.uniform(0, 1)])
    for _ in range(int(rng.integers(1, 5))):
        x, y = rng.uniform(-0.5, 0.5, size=2)
        angles = np.sort(rng.uniform(0, 2 * math.pi, size=rng.integers(3, 7)))
        corners = rng.uniform(0.2, 0.9) * np.stack([np.cos(angles), np.sin(angles)], axis=1) + (x, y)
        outline = corners if chance(rng, 0.7) else curve(corners)
        canvas.lay(canvas.area(outline), rng.uniform(0, 1))
    return develop(canvas.plane, rng, bend=0.0)


def stripes(rng: Generator) -> Image.Image:
    """A test pattern: bars, squares or rings of one width."""
    canvas = _blank(rng)
    waves, phase, angle = rng.uniform(3, 40), rng.uniform(0, 6), rng.uniform(0, math.pi)
    along = canvas.x * math.cos(angle) + canvas.y * math.sin(angle)
    across = canvas.y * math.cos(angle) - canvas.x * math.sin(angle)
    pattern = (
        np.sin(waves * along + phase),
        np.sin(waves * along) * np.sin(waves * across),
        np.sin(waves * np.hypot(canvas.x, canvas.y) + phase),
    )[rng.integers(3)]
    canvas.plane = np.clip(0.5 + pattern * rng.choice([0.4, 1, 6]), 0, 1)
    outside = None
    if chance(rng, 0.3):
        canvas.plane, outside = canvas.plane * canvas.ellipse(0, 0, 0.9 * min(1, canvas.aspect), 0.9), 0.0
    return develop(canvas.plane, rng, outside=outside, bend=float(rng.choice([0, 0.03])))


FLAT: tuple[Callable[[Generator], Image.Image], ...] = (
    *(constant, gradient, glow, disc, ring, halves, panel, stripes),
)
