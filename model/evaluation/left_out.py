"""Leave one source out: each source is judged by a network, calibration and threshold that never saw it.

For each source with both classes, one network is trained without it and judged on it. For each pair of them,
another is trained without both: its logits of one source of the pair help to calibrate and choose the
threshold for the other. Each such network serves both ways, so that three sources take 3 + 3 fits.
A tumour-free source is left out by one more network, and judged by the rule that serves, which is fitted to
the others.

What tells sources apart says nothing within a source that was never seen: a network that learnt the sources
has a held-out ROC AUC near 0.5, which a gate refuses.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from model.data.perturbations import UNCHANGED
from model.evaluation.calibration import classify, fit_rule
from model.evaluation.crossval import Fit
from model.evaluation.localisation import MEASURES, summarise
from model.evaluation.metrics import estimates, flat, mean_estimates
from model.evaluation.slices import measure, named, terciles

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from model.arrays import Floats, Indices, Mask, Names
    from model.data.cases import Cases
    from model.evaluation.calibration import Rule
    from model.evaluation.crossval import Logits
    from model.evaluation.localisation import Localisation
    from model.evaluation.metrics import Estimates
    from model.evaluation.predictions import Predictions
    from model.evaluation.slices import Slice

    Related = Mapping[str, frozenset[str]]
    Parts = dict[tuple[str, str], Mask]

HELD_OUT_SENSITIVITY = 0.90
"""Sensitivity on held-out sources that the threshold must reach."""
OTHERS = 2
"""Unrelated sources with both classes on which a judged one must be calibrated: one would be its twin."""
TUMOUR_FREE, PEOPLE = "all tumour-free", "all tumour-free, people left out"
"""Names of all tumour-free sources together: each left out whole, and their people left out by folds."""
PUBLISHED = ("roc_auc", "sensitivity", "specificity", "balanced_accuracy", "calibration_error")
"""The metrics of each source that are published."""


@dataclass(frozen=True)
class Facts:
    """What is known of each image beside its label; every array has shape (n,)."""

    planes: Names  # "" where unknown
    contrasts: Names  # likewise
    sizes: Floats  # share of the image inside the tumour's outline; NaN without an outline
    judged: Mask  # whether a source is judged on the image; all are left out and trained on alike

    def __getitem__(self, chosen: Mask) -> Facts:
        return Facts(*(getattr(self, field.name)[chosen] for field in fields(self)))


@dataclass(frozen=True)
class LeftOut:
    """Images of one or several sources, judged by what never saw the source (or, if divided, the group)."""

    images: Indices  # their indices among all cases
    predictions: Predictions
    estimates: Estimates  # of tumour-free sources the specificity alone
    slices: list[Slice]  # by plane, contrast and tumour size
    located: dict[str, Localisation]  # of all images called YES that have an outline, and by contrast
    related: tuple[str, ...] = ()  # sources that were left out with this one

    @property
    def groups(self) -> int:
        """Number of groups."""
        return len(np.unique(self.predictions.cases.groups))


@dataclass(frozen=True)
class LeftOutSources:
    """The figures of every source with both classes, and of the tumour-free ones."""

    judged: dict[str, LeftOut]  # sources with both classes
    tumour_free: dict[str, LeftOut]  # likewise, and `TUMOUR_FREE` for all of them
    mean: Estimates  # over the sources with both classes
    rules: dict[str, Rule]  # by which each source was judged
    rule: Rule  # the one that serves, fitted to the logits by which the sources were judged

    @property
    def sources(self) -> dict[str, LeftOut]:
        """Everything that was judged."""
        return self.judged | self.tumour_free

    def metrics(self) -> dict[str, float]:
        """Flat names and numbers, as MLflow and `metadata.json` hold them."""
        areas = [found.estimates["roc_auc"] for found in self.judged.values()]
        parts = {"": self.mean, "worst_": {"roc_auc": min(areas, key=lambda area: area.value)}}
        sources = {
            name if name in (TUMOUR_FREE, PEOPLE) else f"source {name}": found
            for name, found in self.sources.items()
        }
        parts |= {f"{name}_": found.estimates for name, found in sources.items()}
        flattened: dict[str, float] = {}
        for part, found in parts.items():
            published = {name: found[name] for name in PUBLISHED if name in found}
            flattened |= flat(published, prefix=f"held_out_{part}")
        for name, source in self.judged.items():
            if heat := source.located.get("all"):
                measured = {each: getattr(heat, each) for each in MEASURES[:2]}
                flattened |= flat(measured, prefix=f"held_out_source_{name}_heatmap_")
        return flattened

    def document(self) -> dict[str, object]:
        """Return what `report.json` holds of it, without the predictions."""
        document = asdict(self)
        for part in [*document["judged"].values(), *document["tumour_free"].values()]:
            del part["images"], part["predictions"]
        return document


def count_classes(cases: Cases, sources: Names) -> dict[str, tuple[int, int]]:
    """Number of NO and YES images of each source."""
    return {
        name: (int((own & (cases.labels == 0)).sum()), int((own & (cases.labels == 1)).sum()))
        for name, own in named(sources.tolist()).items()
    }


class LeaveOut:
    """Which sources are judged, and what is left out with each.

    `sources` names each image's source, (n,); `related`, by source, those that may show the same patients:
    each is left out with the other.
    """

    def __init__(self, cases: Cases, sources: Names, related: Related) -> None:
        self.cases, self.sources = cases, sources
        counts = count_classes(cases, sources)
        given = {name: {name, *related.get(name, ())} for name in counts}
        self.kin = {
            name: {each for each in counts if each in given[name] or name in given[each]} for name in counts
        }
        self.tumour_free = [name for name, (_, yes) in counts.items() if not yes]
        self.judged = [name for name, of_class in counts.items() if min(of_class)]
        self.pairs = [pair for pair in combinations(self.judged, 2) if pair[1] not in self.kin[pair[0]]]
        if min((sum(name in pair for pair in self.pairs) for name in self.judged), default=0) < OTHERS:
            self.judged, self.pairs = [], []

    @property
    def fits(self) -> int:
        """Number of fits that `leave_sources_out` runs; 0 where it returns None."""
        return bool(self.judged) * len(self.judged + self.tumour_free + self.pairs)

    def training_without(self, own: Mask) -> Mask:
        """Mask without the images `own`, the relations of sources wholly among them, and all their groups."""
        whole = [name for name in self.kin if own[self.sources == name].all()]
        out = own | np.isin(self.sources, [each for name in whole for each in self.kin[name]])
        return ~np.isin(self.cases.groups, self.cases.groups[out])


def leave_sources_out(
    plan: LeaveOut,
    run: Callable[[Fit], Logits],
    *,
    facts: Facts,
    out_of_fold: Floats | None = None,
) -> LeftOutSources | None:
    """Judge every source with both classes, and the tumour-free ones, by fits that never saw them.

    No fit trains on an image that shares a group with one that it leaves out. The networks behind a rule may
    have been trained on the tumour-free sources that are judged by it, but the rule is not fitted to them.

    Parameters
    ----------
    run
        Trains on a fit's training images and returns the logits of the others, at least.
    out_of_fold
        Each image's logit by a network that was trained without its group but with its source, (n,).

    Returns
    -------
    None where fewer than three sources have both classes, or one of them has fewer than two unrelated ones
    to be calibrated on. Images of one class to judge a source by, or a missing logit, are a ValueError.
    """
    if not plan.judged:
        return None
    cases, sources = plan.cases, plan.sources
    counts = count_classes(cases[facts.judged], sources[facts.judged])
    if lacking := [name for name in plan.judged if min(counts.get(name, (0, 0))) == 0]:
        raise ValueError(f"{', '.join(lacking)}: the images to judge by lack a class; judge by more of them")
    outer, inner, located = _run_fits(plan, run)
    group = np.unique(cases.groups, return_inverse=True)[1]
    weights = 1 / np.maximum(np.bincount(group, facts.judged), 1)[group]  # images not judged do not count
    # The number of the rule by which each image is judged: the last one is for tumour-free sources.
    numbers = {name: number for number, name in enumerate(plan.judged)}
    by_rule = np.array([numbers.get(name, len(numbers)) for name in sources])
    weighed = replace(cases, folds=by_rule, weights=weights)
    rules = {}
    for name, row in inner.items():
        shared = np.isin(cases.groups, cases.groups[sources == name])
        rules[name] = _rule(row, weighed, sources, facts.judged & ~shared)

    of_judged = facts.judged & np.isin(sources, plan.judged)
    rule = _rule(outer, weighed, sources, of_judged)
    shared = np.isin(cases.groups, cases.groups[np.isin(sources, plan.tumour_free)])
    for_tumour_free = _rule(outer, weighed, sources, of_judged & ~shared)

    def judge(*names: str, logits: Floats = outer) -> LeftOut:
        chosen = np.isin(sources, names) & facts.judged
        balanced = _balanced(weighed[chosen], cases.labels[chosen])
        predictions = classify(logits[chosen], balanced, [*rules.values(), for_tumour_free])
        measured = estimates(predictions)
        if not predictions.cases.labels.any():
            measured = {"specificity": measured["specificity"]}
        related = tuple(sorted(plan.kin[names[0]] - {*names}))
        parts = _parts(predictions.cases.labels, facts[chosen])
        slices = [measure(*part, predictions[mask]) for part, mask in parts.items()]
        heat = _located({name: values[chosen] for name, values in located.items()}, predictions, parts)
        return LeftOut(np.flatnonzero(chosen), predictions, measured, slices, heat, related)

    judged, tumour_free = ({name: judge(name) for name in names} for names in (plan.judged, plan.tumour_free))
    if tumour_free:
        tumour_free[TUMOUR_FREE] = judge(*plan.tumour_free)
        if out_of_fold is not None:
            tumour_free[PEOPLE] = judge(*plan.tumour_free, logits=out_of_fold)
    mean = mean_estimates([each.predictions for each in judged.values()])
    return LeftOutSources(judged, tumour_free, mean, rules, rule)


def _run_fits(
    plan: LeaveOut, run: Callable[[Fit], Logits]
) -> tuple[Floats, dict[str, Floats], dict[str, Floats]]:
    """Run every fit, and return three sets of values of the images, each (n,).

    They are the logits by the network without an image's source; by judged source, those of the others by
    networks without both; and the `MEASURES` of the images with an outline.
    """
    sources = plan.sources
    outer = np.full(len(sources), np.nan)
    inner = {name: outer.copy() for name in plan.judged}
    located = {name: outer.copy() for name in MEASURES}

    def run_without(*names: str) -> Floats:
        own, alone = np.isin(sources, names), len(names) == 1
        title = f"without source{'' if alone else 's'} {' and '.join(names)}"
        found = run(Fit(title, plan.training_without(own), outer=False, locate=alone))
        if missing := int(np.isnan(found[UNCHANGED][own]).sum()):
            raise ValueError(f"the fit {title!r} returned no logit of {missing} images that it left out")
        for key in located.keys() & found.keys():
            located[key][own] = found[key][own]
        return found[UNCHANGED]

    for name in plan.judged + plan.tumour_free:
        own = sources == name
        outer[own] = run_without(name)[own]
    for pair in plan.pairs:
        logits = run_without(*pair)
        for name, other in (pair, pair[::-1]):
            inner[name][sources == other] = logits[sources == other]
    return outer, inner, located


def _rule(logits: Floats, cases: Cases, sources: Names, chosen: Mask) -> Rule:
    """Fit a rule to the chosen images that have logits; each class of each source weighs the same."""
    chosen = chosen & ~np.isnan(logits)
    source = np.unique(sources[chosen], return_inverse=True)[1]
    balanced = _balanced(cases[chosen], 2 * source + cases.labels[chosen])
    return fit_rule(logits[chosen], balanced, sensitivity=HELD_OUT_SENSITIVITY)


def _balanced(cases: Cases, parts: Indices) -> Cases:
    """Weigh the numbered parts, (n,), the same: how frequent tumours are says who collected the images."""
    part = np.unique(parts, return_inverse=True)[1]
    totals = np.bincount(part, cases.weights)
    return replace(cases, weights=cases.weights * (totals.mean() / totals)[part])


def _located(measures: dict[str, Floats], predictions: Predictions, parts: Parts) -> dict[str, Localisation]:
    """Summarise where the evidence of tumours that are called YES lies, in all, by contrast and by size."""
    chosen = np.isfinite(measures[MEASURES[0]]) & (predictions.predicted == 1)
    chosen &= predictions.cases.labels == 1
    masks = {"all": chosen}
    masks |= {name: chosen & mask for (by, name), mask in parts.items() if by != "plane"}
    return {
        name: summarise({each: values[mask] for each, values in measures.items()}, predictions.cases[mask])
        for name, mask in masks.items()
        if mask.any()
    }


def _parts(labels: Indices, facts: Facts) -> Parts:
    """Mask of each plane, contrast and third by tumour size, without the images of which it is unknown."""
    by = {"plane": named(facts.planes.tolist()), "contrast": named(facts.contrasts.tolist())}
    outlined = np.flatnonzero((labels == 1) & np.isfinite(facts.sizes))
    if len(outlined):
        thirds = terciles(np.round(100 * facts.sizes[outlined], 1).tolist(), "{} % of the image")
        every = np.arange(len(labels))
        by["tumour size"] = {name: np.isin(every, outlined[mask]) for name, mask in thirds.items()}
    return {(part, name): mask for part, masks in by.items() for name, mask in masks.items() if name}
