"""What training does to the images, and the exported network never sees.

Each image is turned by quarters and a little, flipped, scaled, stretched, shifted, and its brightness and
gamma changed: whatever of these tells the classes apart in a small set is an accident of its sources. What a
file adds to that, such as margins, letters and compression, is `disturb`'s.
"""

from __future__ import annotations

import math

from .backend import keras

ops = keras.ops

TURN = 1 / 24  # of a full turn, either way, on top of quarter turns: a midline stays near an axis
SCALE = 0.15  # natural logarithm of the factor, either way; the next two likewise
STRETCH = 0.08
GAMMA = 0.25
SHIFT = 0.08  # of the side, either way
BRIGHTNESS = 0.15  # of the grey level, either way


class Augment(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    """Changes each image of a training batch by its own random amounts; passes others through."""

    def __init__(self, *, seed: int) -> None:
        super().__init__()
        self._seeds = keras.random.SeedGenerator(seed)

    def call(self, images: keras.KerasTensor, training: bool = False) -> keras.KerasTensor:
        """Return images of the same shape, still in [0, 1]."""
        if not training:
            return images
        return self._relight(self._move(images))

    def _move(self, images: keras.KerasTensor) -> keras.KerasTensor:
        """Apply one affine map per image, about the image's middle; what comes in from outside is black."""
        count, side = ops.shape(images)[0], images.shape[1]
        angle = math.pi / 2 * ops.floor(2 + self._random(count, 2)) + 2 * math.pi * self._random(count, TURN)
        scale, stretch = ops.exp(self._random(count, SCALE)), ops.exp(self._random(count, STRETCH))
        mirror_x, mirror_y = ops.sign(self._random(count, 1)), ops.sign(self._random(count, 1))
        xx, xy = mirror_x * scale * stretch * ops.cos(angle), -mirror_x * scale * stretch * ops.sin(angle)
        yx, yy = mirror_y * scale / stretch * ops.sin(angle), mirror_y * scale / stretch * ops.cos(angle)
        middle = (side - 1) / 2
        x0 = middle * (1 - xx - xy) + side * self._random(count, SHIFT)
        y0 = middle * (1 - yx - yy) + side * self._random(count, SHIFT)
        none = ops.zeros_like(angle)
        maps = ops.stack([xx, xy, x0, yx, yy, y0, none, none], axis=1)
        return ops.image.affine_transform(images, maps, fill_mode="constant", data_format="channels_last")

    def _relight(self, images: keras.KerasTensor) -> keras.KerasTensor:
        count = ops.shape(images)[0]
        brightness = ops.reshape(1 + self._random(count, BRIGHTNESS), (-1, 1, 1, 1))
        gamma = ops.reshape(ops.exp(self._random(count, GAMMA)), (-1, 1, 1, 1))
        return ops.power(ops.clip(images * brightness, 0, 1), gamma)

    def _random(self, count: int, reach: float) -> keras.KerasTensor:
        """Draw one number per image from -reach to reach."""
        return keras.random.uniform((count,), -reach, reach, seed=self._seeds)
