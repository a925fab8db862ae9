"""From a chosen architecture to what serves: its whole measurement, final fit, refusal, files and card."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from container.refusal import reason_to_refuse

from . import negatives, network, record
from .evaluate import compare, figures, majority_accuracy
from .judge import Rule, fit_rule
from .metadata import describe
from .naive import naive_figures
from .pictures import preprocessed
from .refusal import Refusal, fit_refusal
from .report import FOREST, Report, mistakes, robustness, sliced
from .robustness import AS_IT_IS, CHANGES
from .slices import slices
from .split import Cases, group

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from PIL import Image

    from .crossval import OutOfFold
    from .evaluate import Figures
    from .judge import Judgement
    from .learner import Learner
    from .study import Candidate, Study

MOST_OTHERS = 600
"""Brain MRIs of the pretraining from which the refusal learns besides."""


def finish(
    study: Study,
    best: Candidate,
    *,
    rivals: dict[str, Figures],
    baselines: dict[str, list[Judgement]],
    judged: list[Judgement],
    run_id: str,
) -> str:
    """Measure, fit and log the network that serves, in the run that is open; return the Keras model's URI.

    Parameters
    ----------
    rivals
        Every candidate's own figures.
    baselines
        Each baseline's judgement, repeat by repeat.
    judged
        Of choosing an architecture inside each fold: the figures that are claimed.
    """
    learner, scans = best.learner(), study.dataset.scans
    naive = naive_figures(study.dataset, study.cases, learner, seed=study.recipe.seed)
    head = learner.fit(study.cases, ~study.held_out, seed=study.recipe.seed, report=lambda _: None)
    refusal = _refusal(study, learner)
    report = Report(
        figures=figures(judged),
        rivals=rivals,
        baselines={name: figures(rows) for name, rows in baselines.items()},
        over_forest=compare(judged, baselines[FOREST], "roc_auc"),
        naive=naive,
        robustness=robustness(best.out_of_fold),
        slices=sliced(judged, slices(scans)),
        mistakes=mistakes(judged, scans),
        refusal=refusal,
        training_auc=best.out_of_fold.training_auc,
        straddling=straddling(study.splits, group(scan.image() for scan in scans)),
        majority_accuracy=majority_accuracy(study.cases),
    )
    metadata = describe(
        study,
        run_id=run_id,
        architecture=best.architecture,
        rule=pooled_rule(best.out_of_fold),
        refusal=refusal,
        metrics=report.metrics(),
    )
    record.claims(report, judged, study)
    pixels = study.pictures.pixels(metadata["input"]["size"])
    healthy = pixels[(study.cases.labels == 0) & ~study.held_out]
    plain = network.assemble(learner.trunk, tumour=head, brain=None)
    usual = plain.predict(healthy, batch_size=network.BATCH, verbose=0)[1].mean(axis=0)[..., 0]
    served = network.assemble(learner.trunk, tumour=head, brain=refusal.head, usual=usual)
    return record.network(served, metadata, report, judged, pixels=pixels, scans=scans)


def pooled_rule(out_of_fold: OutOfFold) -> Rule:
    """Fit the rule that serves, to every image's out-of-fold logit in every repeat."""
    splits = out_of_fold.splits
    pooled = Cases(
        labels=np.concatenate([cases.labels for cases in splits]),
        groups=np.concatenate([cases.groups for cases in splits]),
        folds=np.concatenate([cases.folds for cases in splits]),
        weights=np.concatenate([cases.weights for cases in splits]),
    )
    return fit_rule(out_of_fold.outer[AS_IT_IS].ravel(), pooled)


def straddling(splits: Sequence[Cases], groups: NDArray[np.int64]) -> int:
    """How many groups of near-duplicates stand on both sides of a split, which none should.

    Parameters
    ----------
    groups
        Found anew in the images, whatever the splits were drawn by; shape (n,).
    """
    return sum(
        len(np.unique(cases.folds[groups == number])) > 1 for cases in splits for number in np.unique(groups)
    )


def _refusal(study: Study, learner: Learner) -> Refusal:
    """Fit the refusal to the scans in every guise, and to pictures that the simple rules let through."""
    everything = np.ones(len(study.cases), dtype=bool)
    scans = np.stack([learner.features(change, everything) for change in CHANGES])
    size = learner.trunk.input.shape[1]
    passed: dict[str, list[Image.Image]] = {kind: [] for kind in negatives.KINDS}
    drawn = negatives.negatives(per_kind=study.recipe.per_kind, seed=study.recipe.seed)
    total = study.recipe.per_kind * len(negatives.KINDS)
    for kind, picture in tqdm(drawn, desc="drawing what is no brain", unit="image", total=total, leave=False):
        grey = picture.convert("L")
        if reason_to_refuse(picture, grey) is None:
            passed[kind].append(grey)
    others = None
    if study.typed:
        chosen = np.random.default_rng(study.recipe.seed).permutation(len(study.typed.scans))[:MOST_OTHERS]
        images = (study.typed.scans[place].image() for place in chosen)
        others = learner.read(preprocessed(images, size=size, total=len(chosen)))
    return fit_refusal(
        scans,
        study.cases.groups,
        {kind: learner.read(preprocessed(images, size=size)) for kind, images in passed.items() if images},
        drawn=dict.fromkeys(negatives.KINDS, study.recipe.per_kind),
        more=others,
    )
