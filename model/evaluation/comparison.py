"""Two networks compared image by image, on images that neither of them was trained on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from model.evaluation.left_out import PUBLISHED
from model.evaluation.metrics import differences, estimates
from model.evaluation.slices import FEW

if TYPE_CHECKING:
    from collections.abc import Sequence

    from model.data.cases import Cases
    from model.evaluation.metrics import Difference, Estimate
    from model.evaluation.predictions import Predictions

EVERYTHING = "all images"


@dataclass(frozen=True)
class Scored:
    """A network's predictions of images that it was not trained on, and what the images are called."""

    predictions: Predictions
    names: Sequence[str]
    sha256: Sequence[str]
    sources: Sequence[str]

    def at(self, places: Sequence[int]) -> Scored:
        """Choose images by their indices, in this order."""
        named = ([each[place] for place in places] for each in (self.names, self.sha256, self.sources))
        return Scored(self.predictions[np.array(places, dtype=np.int64)], *named)


@dataclass(frozen=True)
class PairedEstimate:
    """A metric of both networks, and by how much the first exceeds the second, paired."""

    first: Estimate
    second: Estimate
    difference: Difference


@dataclass(frozen=True)
class Part:
    """The images of one source, or all; `enough` says whether a difference can be told on them."""

    name: str
    images: int
    groups: int
    enough: bool
    metrics: dict[str, PairedEstimate]


@dataclass(frozen=True)
class Differing:
    """An image to which the networks give different classes, with their probabilities of YES."""

    name: str
    label: int
    first: float
    second: float
    first_is_right: bool


@dataclass(frozen=True)
class Comparison:
    """What two networks make of the same images."""

    parts: tuple[Part, ...]  # all images, then each source; none without a shared image
    agreement: float | None  # share of the images with the same class from both; None without any
    differing: tuple[Differing, ...]
    alone: tuple[int, int]  # images that only the first was tested on, and only the second
    relabelled: tuple[str, ...]  # images whose label is another one now; they are not compared


def shared(first: Scored, second: Scored) -> tuple[Scored, Scored, tuple[str, ...]]:
    """Choose the images that both were tested on under the same label, in the same order.

    Near-duplicates by either one's groups are one group: what is paired is the same for both. Returns also
    the names of the images whose labels differ.
    """
    places = {sha256: place for place, sha256 in enumerate(second.sha256)}
    both = [(place, places[sha256]) for place, sha256 in enumerate(first.sha256) if sha256 in places]
    labels, theirs = first.predictions.cases.labels, second.predictions.cases.labels
    same = [(mine, other) for mine, other in both if labels[mine] == theirs[other]]
    relabelled = tuple(first.names[mine] for mine, other in both if labels[mine] != theirs[other])
    chosen, others = first.at([mine for mine, _ in same]), second.at([other for _, other in same])
    cases = _joined(chosen.predictions.cases, others.predictions.cases)
    chosen, others = (
        replace(each, predictions=replace(each.predictions, cases=cases)) for each in (chosen, others)
    )
    return chosen, others, relabelled


def compare(first: Scored, second: Scored) -> Comparison:
    """Compare two networks on the images that both were tested on, which may be none."""
    mine, theirs, relabelled = shared(first, second)
    ours, others = mine.predictions, theirs.predictions
    sources, weights = np.array(mine.sources, dtype=np.str_), ours.cases.weights
    masks = {EVERYTHING: np.ones(len(sources), dtype=bool)} if len(sources) else {}
    masks |= {str(name): sources == name for name in np.unique(sources) if len(set(mine.sources)) > 1}
    differ = ours.predicted != others.predicted
    common = len(sources) + len(relabelled)
    return Comparison(
        parts=tuple(_part(name, ours[own], others[own]) for name, own in masks.items()),
        agreement=float(np.average(~differ, weights=weights)) if len(sources) else None,
        differing=tuple(
            Differing(
                mine.names[place],
                int(ours.cases.labels[place]),
                float(ours.probabilities[place]),
                float(others.probabilities[place]),
                bool(ours.predicted[place] == ours.cases.labels[place]),
            )
            for place in np.flatnonzero(differ).tolist()
        ),
        alone=(len(first.names) - common, len(second.names) - common),
        relabelled=relabelled,
    )


def _joined(first: Cases, second: Cases) -> Cases:
    """Join two numberings of the same images' groups, and weigh each group the same."""
    if not len(first):
        return first
    mine, theirs = (np.unique(each.groups, return_inverse=True)[1] for each in (first, second))
    nodes = int(mine.max() + theirs.max()) + 2
    links = sparse.coo_array((np.ones(len(first)), (mine, mine.max() + 1 + theirs)), shape=(nodes, nodes))
    groups = connected_components(links, directed=False)[1][mine].astype(np.int64)
    return replace(first, groups=groups, weights=1 / np.bincount(groups)[groups])


def _part(name: str, first: Predictions, second: Predictions) -> Part:
    cases = first.cases
    groups = [len(np.unique(cases.groups[cases.labels == label])) for label in (0, 1)]
    mine, theirs, over = estimates(first), estimates(second), differences(first, second)
    measured = {
        each: PairedEstimate(mine[each], theirs[each], over[each]) for each in PUBLISHED if each in over
    }
    return Part(name, len(cases), len(np.unique(cases.groups)), min(groups) >= FEW, measured)
