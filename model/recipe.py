"""What decides a training besides the data. Importing this imports no TensorFlow."""

from __future__ import annotations

import math
from dataclasses import dataclass

WARM_UP = 0.1  # share of the epochs in which the learning rate rises


class TrainingError(Exception):
    """The training cannot go on; the text says why and what to change."""


@dataclass(frozen=True)
class Architecture:
    """A kind of network that a training compares.

    Attributes
    ----------
    from_imagenet
        Whether its trunk has seen ImageNet and stays as it is, so that only the head learns, from the
        features and their asymmetry; else all of it learns.
    mixing
        Parameter of the beta distribution by which two images are mixed (mixup, Zhang et al. 2018); 0: none.
    averaging
        Momentum of the weights' moving average, which is what serves; 0: the last weights serve.
    """

    from_imagenet: bool
    mixing: float = 0.0
    averaging: float = 0.0


ARCHITECTURES = {
    "plain_cnn": Architecture(from_imagenet=False),
    "residual_cnn": Architecture(from_imagenet=False, mixing=0.2, averaging=0.98),
    "mobilenet_v2": Architecture(from_imagenet=True),
    "efficientnet_lite0": Architecture(from_imagenet=True),
}
"""Each name is one that `network.build_trunk` knows."""


@dataclass(frozen=True)
class Recipe:
    """The same recipe and data give the same network.

    The number of epochs is fixed beforehand: stopping where the validation loss is lowest would let each
    fold's figure choose its own network.

    Attributes
    ----------
    architectures
        What is compared.
    folds, repeats
        Of the cross-validation; each repeat draws its folds anew.
    size, transfer_size
        Input side in pixels of networks that learn from scratch, and of those from ImageNet.
    views
        Disturbed versions of each image that are learnt from, besides the image as it is.
    pretraining_epochs
        Passes over the images of ``--pretrain``.
    strengths
        Inverse strengths of a head's penalty, from which each fit chooses by its own training images.
    per_kind
        Pictures of each kind that is no brain MRI, for the refusal.
    """

    architectures: tuple[str, ...]
    folds: int
    repeats: int
    epochs: int
    views: int
    size: int
    transfer_size: int
    per_kind: int
    strengths: tuple[float, ...]
    pretraining_epochs: int = 3
    seed: int = 0
    batch_size: int = 16
    learning_rate: float = 2e-3
    weight_decay: float = 1e-3

    def input_size(self, architecture: str) -> int:
        """Side in pixels of the square that an architecture's network takes."""
        return self.transfer_size if ARCHITECTURES[architecture].from_imagenet else self.size


def cosine(epoch: int, *, epochs: int, peak: float) -> float:
    """Learning rate of an epoch, from 0 on: a short rise, then half a cosine down to nearly nothing."""
    rise = max(1, round(WARM_UP * epochs))
    if epoch < rise:
        return peak * (epoch + 1) / rise
    return peak * (1 + math.cos(math.pi * (epoch - rise) / (epochs - rise + 1))) / 2


THOROUGH = Recipe(
    architectures=tuple(ARCHITECTURES),
    folds=5,
    repeats=3,
    epochs=30,
    views=24,
    size=96,
    transfer_size=112,
    per_kind=80,
    strengths=(0.003, 0.01, 0.03),
)
QUICK = Recipe(
    architectures=("efficientnet_lite0",),
    folds=5,
    repeats=1,
    epochs=20,
    views=6,
    size=64,
    transfer_size=112,
    per_kind=24,
    strengths=(0.01,),
)
"""A minute or two on two cores, and measured in the same way."""
