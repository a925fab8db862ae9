"""The report, the final fit, the refusal and the serving files of a training."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, replace
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from container import imaging
from container.rules import reason_to_refuse
from model.data import negatives
from model.data.augmentation import augment
from model.data.dataset import model_name
from model.data.image_cache import GREY_LEVELS, preprocessed
from model.data.negatives.scrambled import scramble
from model.data.perturbations import UNCHANGED
from model.data.scan import FEEDBACK
from model.evaluation.baselines import source_probe
from model.evaluation.calibration import fit_rule
from model.evaluation.left_out import count_classes
from model.evaluation.metrics import differences, estimates, majority_accuracy
from model.evaluation.report import Report, find_mistakes, measure_perturbations, measure_slices
from model.evaluation.slices import named, slices
from model.networks import architectures as network
from model.progress import progress
from model.release import export, model_card
from model.training import mlflow_logging
from model.training.reference import reference
from model.training.refusal import fit_refusal, fit_reliability

if TYPE_CHECKING:
    from PIL import Image

    from model.arrays import Floats32
    from model.evaluation.calibration import Rule
    from model.evaluation.crossval import OutOfFold
    from model.evaluation.left_out import LeftOutSources
    from model.evaluation.predictions import Predictions
    from model.evaluation.report import Refusal
    from model.release.export import Metadata
    from model.training.learner import Learner
    from model.training.plan import TrainingPlan

HEATMAP_CELLS = 16
"""Side of the heatmap in a response, to which the evidence is interpolated: finer than it, since the evidence
covers the content of the image and the heatmap all of it."""
MARGIN = 1.0  # of the end of the heatmap's scale above the strongest evidence found
SCRAMBLED = 0.5
"""Number of scrambled brain MRIs on which the refusal is trained, relative to that of other images."""
PARITY = 500
"""Largest number of images on which the exported network is compared with the trained one."""


def fit_and_log(
    plan: TrainingPlan,
    learner: Learner,
    out_of_fold: OutOfFold,
    left_out: LeftOutSources | None,
    *,
    forest: Predictions,
    forest_left_out: LeftOutSources | None,
    run_id: str,
) -> str:
    """Fit and log the network that serves, in the open run; return the Keras model's URI.

    The metadata forest's predictions and figures on sources left out are for comparison.
    """
    predictions = out_of_fold.predictions()
    encoder, scans = learner.encoder, plan.dataset.scans
    learner.fit(plan.cases, ~plan.held_out, seed=plan.recipe.seed)
    views = progress(plan.images.views.greys, "computing features", unit="view")
    features = np.stack([encoder.features(greys) for greys in views])
    refusal = _fit_refusal(plan, encoder, features)
    facts, groups = plan.facts, plan.cases.groups
    reliability = fit_reliability(features[0], groups, plan.views, facts.planes, facts.contrasts)
    several = len(plan.dataset.sources) > 1
    by_source = {"source": named(plan.sources.tolist())} if several else {}
    report = Report(
        estimates=estimates(predictions),
        forest=estimates(forest),
        over_forest=differences(predictions, forest)["roc_auc"],
        perturbations=measure_perturbations(out_of_fold),
        slices=measure_slices(predictions, by_source | slices(scans)),
        mistakes=find_mistakes(predictions, scans),
        refusal=refusal,
        reliability=reliability,
        training_auc=out_of_fold.training_auc,
        majority_accuracy=majority_accuracy(plan.cases),
        left_out=left_out,
        forest_left_out=forest_left_out.mean["roc_auc"] if forest_left_out else None,
        sources=count_classes(plan.cases, plan.sources),
        source_probe=source_probe(features[0], plan.sources, plan.cases) if several else None,
    )
    rule = left_out.rule if left_out else fit_rule(out_of_fold.outer[UNCHANGED], plan.cases)
    served = network.assemble(
        encoder.model, learner.tail, brain=refusal.head, familiarity=reliability.familiarity
    )
    chosen = np.random.default_rng(plan.recipe.seed).permutation(len(scans))
    chosen = np.array([index for index in chosen if scans[index].source != FEEDBACK][:PARITY])
    pixels = plan.images.views.greys[0, chosen].astype(np.float32) / GREY_LEVELS
    outputs = export.predict(served, pixels)
    scale = learner.scale
    calibration = rule.calibration.of_unscaled(mean=scale.mean, deviation=scale.deviation)
    metadata = describe(
        plan,
        report,
        run_id=run_id,
        rule=replace(rule, calibration=calibration),
        evidence=(scale.no_opinion, float(outputs.evidence.max())),
    )
    mlflow_logging.log_report(report, predictions, plan)
    watched = reference(
        plan,
        probabilities=rule.calibration.probabilities(out_of_fold.outer[UNCHANGED]),
        scores=refusal.scores,
        threshold=refusal.threshold,
    )
    return mlflow_logging.log_network(
        served,
        metadata,
        card=model_card.write(metadata, report, predictions),
        reference=watched,
        pixels=pixels,
        outputs=outputs,
        scans=[scans[index] for index in chosen],
    )


def describe(
    plan: TrainingPlan,
    report: Report,
    *,
    run_id: str,
    rule: Rule,
    evidence: tuple[float, float],
) -> Metadata:
    """Compose the metadata of a trained network, given its evidence of no opinion and its strongest."""
    dataset, recipe = plan.dataset, plan.recipe
    experiment, (low, high) = model_name(dataset), evidence
    return {
        "schema": 3,
        "name": experiment,
        "architecture": recipe.architecture,
        "labels": ["NO", "YES"],
        "input": {"size": recipe.size},
        "calibration": {"method": "platt", **asdict(rule.calibration)},
        "threshold": rule.threshold,
        "refusal": {"threshold": report.refusal.threshold},
        "reliability": {"threshold": report.reliability.threshold},
        # Hardly anything exceeds the end of the scale: no plateau hides the strongest point.
        "heatmap": {
            "width": HEATMAP_CELLS,
            "height": HEATMAP_CELLS,
            "low": low,
            "high": max(low, high) + MARGIN,
        },
        "dataset": {
            "name": dataset.name,
            "kind": dataset.kind,
            "fingerprint": dataset.fingerprint,
            "images": len(dataset.scans),
            "yes": int(dataset.labels.sum()),
            "sources": [{"name": name, "yes": yes, "no": no} for name, (no, yes) in report.sources.items()],
            "groups": len(np.unique(plan.cases.groups)),
            "copies": len(dataset.copies),
            "skipped": len(dataset.skipped),
        },
        "split": {"folds": recipe.folds, "held_out": int(plan.held_out.sum())},
        "recipe": asdict(recipe),
        "metrics": report.metrics(),
        "mlflow": {"experiment": experiment, "run_id": run_id},
    }


def _fit_refusal(plan: TrainingPlan, encoder: network.Encoder, scans: Floats32) -> Refusal:
    """Fit the refusal to the scans' features and to the negatives that pass the rules, all in every view."""
    recipe, rng = plan.recipe, np.random.default_rng(plan.recipe.seed)
    drawn = negatives.negatives(per_kind=recipe.per_kind, seed=recipe.seed)
    real = ((kind, scan.colours()) for kind, own in plan.dataset.refuse.items() for scan in own)
    passed: dict[str, list[Image.Image]] = {}
    counts: Counter[str] = Counter()
    for kind, image in progress(chain(drawn, real), "preparing negatives"):
        grey = imaging.grey(image)
        counts[kind] += 1
        if reason_to_refuse(image, grey) is None:
            passed.setdefault(kind, []).append(grey)

    def features(images: list[Image.Image], view: int) -> Floats32:
        seen = (augment(each, None, rng)[0] if view else each for each in images)
        return encoder.features(preprocessed(seen, size=recipe.size))

    views = range(len(scans))
    others = {kind: np.stack([features(images, view) for view in views]) for kind, images in passed.items()}
    rows = len(scans) * sum(map(len, passed.values()))
    view, chosen = (rng.integers(count, size=round(SCRAMBLED * rows)) for count in scans.shape[:2])
    greys = plan.images.views.greys[view, chosen, ..., 0]
    scrambled = encoder.features(np.stack([scramble(grey, rng) for grey in greys])[..., np.newaxis])
    parts, without = plan.left_out_parts()
    return fit_refusal(
        scans,
        parts,
        without=without,
        others=others,
        scrambled=scrambled,
        origins=chosen,
        counts=dict(counts),
    )
