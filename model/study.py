"""What a training compares and how: its data, folds and recipe, and each candidate that came of it."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from . import pretrain
from .pictures import Pictures
from .split import group, hold_out, plan

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from .crossval import OutOfFold
    from .data import Dataset
    from .evaluate import Figures
    from .learner import Learner, Mask
    from .recipe import Recipe
    from .split import Cases


@dataclass(frozen=True)
class Study:
    """The data of a training and how it is measured: the same for every candidate.

    Attributes
    ----------
    splits
        The cases with each repeat's own folds.
    held_out
        Marks the images that the served network does not learn from, shape (n,).
    typed
        Images to pretrain on.
    copies
        How many of those were left out because they resemble a labelled image.
    """

    dataset: Dataset
    recipe: Recipe
    pictures: Pictures
    splits: Sequence[Cases]
    held_out: Mask
    typed: pretrain.TypedSet | None
    copies: int = 0

    @classmethod
    def of(cls, dataset: Dataset, recipe: Recipe, *, pretrain_on: Path | str | None = None) -> Study:
        """Find near-duplicates, draw the folds, and read what is pretrained on.

        Raises
        ------
        DataError
            When a class has too few independent images for the folds, or a folder cannot be learnt from.
        """
        groups = group((scan.image() for scan in dataset.scans), total=len(dataset.scans))
        splits = [
            plan(dataset.labels, groups, folds=recipe.folds, seed=recipe.seed + repeat)
            for repeat in range(recipe.repeats)
        ]
        typed, copies = None, 0
        if pretrain_on:
            typed, copies = pretrain.load(pretrain_on).unlike(dataset.scans)
        held_out = hold_out(dataset.labels, groups, seed=recipe.seed)
        pictures = Pictures(dataset.scans, seed=recipe.seed)
        return cls(dataset, recipe, pictures, splits, held_out, typed, copies)

    @property
    def cases(self) -> Cases:
        """The cases with the first repeat's folds."""
        return self.splits[0]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all that decides the fits besides the code."""
        typed = self.typed.fingerprint if self.typed else ""
        known = f"{self.dataset.fingerprint} {typed} {sorted(asdict(self.recipe).items())}"
        return hashlib.sha256(known.encode()).hexdigest()


@dataclass(frozen=True)
class Candidate:
    """One architecture: what its networks said out of fold, its own figures, and what fits more of them."""

    architecture: str
    run_id: str
    out_of_fold: OutOfFold
    figures: Figures
    learner: Callable[[], Learner]
