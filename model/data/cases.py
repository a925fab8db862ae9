"""What every evaluation knows of the images: their labels, groups and folds."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from model.arrays import Floats, Indices, Mask


@dataclass(frozen=True)
class Cases:
    """Labels, groups and folds of the images; every array has shape (n,)."""

    labels: Indices  # 1 for yes, 0 for no
    groups: Indices  # number of the group of near-duplicates
    folds: Indices  # number of the fold in which the image is tested
    weights: Floats  # 1 / size of the group, so that all groups count the same

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, chosen: Mask | Indices) -> Cases:
        return Cases(*(getattr(self, field.name)[chosen] for field in fields(self)))
