"""The model card that travels with the artifact: numbers only, no image and nothing made from one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .metadata import Metadata

FIGURES = {
    "roc_auc": "ROC AUC",
    "balanced_accuracy": "Balanced accuracy",
    "accuracy": "Accuracy",
    "sensitivity": "Sensitivity (tumours found)",
    "specificity": "Specificity (others left alone)",
    "brier_score": "Brier score (lower is better)",
}
DRAWN = """\
> **Trained on drawings.** Every image was drawn by this project's phantom generator. The figures show that
> the path from training to endpoint works; they say nothing about brains.
"""
USE = """\
**Not a medical device.** Do not use it on patients.

## Intended use

It demonstrates the path from training to a production endpoint. For one slice of a brain MRI it answers
whether the slice resembles the training images with a tumour (YES, 1) or those without (NO, 0). It was not
made for diagnosis or triage, for other parts of the body, or for other kinds of images.
"""
DATA = """\
## Data

- Set `{name}`: {images} distinct images, {yes} YES and {no} NO. Left out: {copies} exact copies and
  {skipped} unreadable files. Fingerprint `{fingerprint}`.
- Near-duplicates (copies, crops, flips, turns) form {groups} independent groups. A group never straddles a
  split, and each counts the same whatever its size.
- {held_out} images were kept from everything. The others went through {folds} stratified folds, each judged
  by a network that had not seen it.
"""
FIGURES_TABLE = """\
## Figures

Out of fold. Each fold was judged by the calibration and threshold that the *other* folds gave, and the
number of epochs was fixed beforehand. Intervals: 95 %, bootstrap over groups.

| Figure | Value | Interval |
|---|---|---|
{rows}

Always answering the commoner class has an accuracy of {majority_accuracy:.3f} and a balanced accuracy of
0.500. On the {held_out} images kept from everything, too few for a verdict, the served network has a ROC AUC
of {holdout_roc_auc:.3f} and an accuracy of {holdout_accuracy:.3f}.
"""
DECISION = """\
## Network and decision

- `{architecture}`, trained from scratch: {recipe}.
- Probability = sigmoid({slope:.4f} x logit {intercept:+.4f}): Platt's calibration on all out-of-fold logits.
- YES from a probability of {threshold:.4f} on, where out-of-fold balanced accuracy is highest.
- The heatmap is the evidence whose mean is the logit: what the network decided by, not what is there.
- Training run `{run_id}` of the MLflow experiment `{experiment}`.
"""
LIMITS = """\
## Limits

- It sees grey levels at {size} x {size} pixels: what is too small for that, it cannot see.
- The best of the compared architectures was chosen by these same figures, which makes them slightly too good.
- The served network was trained on all folds; the figures are those of the folds' own networks.
"""
LABEL_NOISE = """\
- The labels are the folders that whoever collected the images put them in; no radiologist read them again.
  `no` means "no tumour, says the uploader", not "healthy". In the Kaggle set that this project was made for,
  several `no` images show plain lesions (N1, N11, N15, N16, N17, N19, N22, no 10, 15 no, 32 no, 36 no).
- Nobody knows which images are of one patient: two slices of one head may count as independent.
- In that set, file size and format alone tell the classes apart with an AUC of 0.82 to 0.85, and that link
  reverses on images of another source. Good figures here promise nothing for another hospital's images.
"""


def write(metadata: Metadata) -> str:
    """Write the card of one trained network as Markdown."""
    phantom = metadata["dataset"]["kind"] == "phantom"
    origin = ", trained on drawn phantoms" if phantom else ""
    sections = [
        f"# Model card: {metadata['name']} ({metadata['architecture']}){origin}\n",
        *([DRAWN] if phantom else []),
        USE,
        _data(metadata),
        _figures(metadata),
        _decision(metadata),
        LIMITS.format(size=metadata["input"]["size"]) + ("" if phantom else LABEL_NOISE),
    ]
    return "\n".join(sections)


def _data(metadata: Metadata) -> str:
    dataset = metadata["dataset"]
    return DATA.format(**dataset, **metadata["split"], no=dataset["images"] - dataset["yes"])


def _figures(metadata: Metadata) -> str:
    metrics = metadata["metrics"]
    rows = "\n".join(
        f"| {title} | {metrics[name]:.3f} | {metrics[f'{name}_low']:.3f} to {metrics[f'{name}_high']:.3f} |"
        for name, title in FIGURES.items()
    )
    return FIGURES_TABLE.format(rows=rows, held_out=metadata["split"]["held_out"], **metrics)


def _decision(metadata: Metadata) -> str:
    return DECISION.format(
        architecture=metadata["architecture"],
        recipe=", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in metadata["recipe"].items()),
        threshold=metadata["threshold"],
        **metadata["calibration"],
        **metadata["mlflow"],
    )
