"""The words of the model card; `card` fills in the numbers."""

DRAWN = """\
> **Trained on drawings.** Every image was drawn by this project's phantom generator. The figures show that
> the path from training to endpoint works; they say nothing about brains.
"""
USE = """\
**Not a medical device.** Do not use it on patients.

## Intended use

It demonstrates the path from training to a production endpoint. For one slice of a brain MRI it answers
whether the slice resembles the training images with a tumour (YES, 1) or those without (NO, 0), with a
probability and a map of what speaks for it. What does not look like a brain MRI it refuses. It was not made
for diagnosis or triage, for other parts of the body, or for other kinds of images.
"""
DATA = """\
## Data and split

- Set `{name}`: {images} distinct images, {yes} YES and {no} NO. Left out: {copies} exact copies and
  {skipped} unreadable files. Fingerprint `{fingerprint}`.
- Near-duplicates (copies, crops, flips, turns) form {groups} independent groups. A group never straddles a
  split, and each counts the same whatever its size.
- {folds} stratified folds, in {repeats} independent draw(s). Every image is judged by networks that saw
  neither it nor its near-duplicates. The network that serves learnt from all but {held_out} images, which are
  kept to show it at work.
"""
PRETRAINED = """\
- Before, the trunk learnt from {images} images of `{name}` (fingerprint `{fingerprint}`) to tell types
  apart that lie beside each other: {types}. {copies} more were left out, because they resemble a labelled
  image.
"""
FIGURES = """\
## Figures

Out of fold. The threshold that serves aims at finding 95 % of the tumours; the even threshold is where
sensitivity and specificity together are highest. What judges a fold (threshold, calibration, choice of
network) was fitted on its training side alone, by networks that had not seen it either, and the number of
epochs was fixed beforehand. Each figure is that of one network, averaged over the repeats; nothing is
averaged over networks. Intervals: 95 %, bootstrap over groups.

| Figure | Value | Interval |
|---|---|---|
{rows}

Always answering the commoner class has an accuracy of {majority_accuracy:.3f}. On what they had learnt from,
the same networks have a ROC AUC of {training_auc:.3f}.
"""
COMPARED = """\
## Compared with

On the same folds and judged in the same way. The forest sees the size, format and mode of a file and not one
pixel: who does not clearly beat it has learnt the sources of the images, not tumours. The network's ROC AUC
is higher by {over:.3f} ({low:.3f} to {high:.3f}). The careless split treats every file as independent, copies
included, as most published figures for such sets do: it shows what they claim, not what holds.

| | ROC AUC | Balanced accuracy, even threshold | Accuracy |
|---|---|---|---|
{rows}
"""
CHANGES = """\
## The same images in another guise

The same networks and thresholds on changed images. The answer should not change; it changes most for
"{worst}".

| Change | ROC AUC | Balanced accuracy, even threshold | Difference in points |
|---|---|---|---|
{rows}
"""
SLICES = """\
## Parts of the data

By what the file and its pixels tell. {verdict}

| By | Part | Images | ROC AUC | Sensitivity | Specificity |
|---|---|---|---|---|---|
{rows}
"""
MISTAKES = """\
## Worst mistakes

{count} images were decided against their label in most repeats. The surest of these mistakes:

{listed}
"""
REFUSAL = """\
## What it refuses

An image whose score of being a brain MRI is below {threshold:.3f} is answered with a refusal. Measured on
{scans} brain MRIs, of which {wrongly:.1%} were refused, and {pictures} other pictures, of which {rightly:.1%}
were refused. Each kind was judged by a refusal that had never seen one of that kind:

| Kind | Refused |
|---|---|
{rows}
"""
DECISION = """\
## Network and decision

- `{architecture}`: {recipe}.
- Probability = sigmoid({slope:.4f} x logit {intercept:+.4f}): Platt's calibration on all out-of-fold logits.
- YES from a probability of {threshold:.4f} on: the highest at which 95 % of the tumours are found out of
  fold.
- The heatmap is the evidence whose mean is the logit: what the network decided by, not what is there.
- Training run `{run_id}` of the MLflow experiment `{experiment}`.
"""
LIMITS = """\
## Limits

- It sees grey levels at {size} x {size} pixels: what is too small for that, it cannot see.
- The served network learnt from nearly all images; the figures are those of the folds' own networks.
- Preprocessing, augmentation and the form of the networks were found while looking at figures of this same
  data set. The folds do not know of that choice, and it makes the figures somewhat too good.
"""
LABEL_NOISE = """\
- The labels are the folders that whoever collected the images put them in; no radiologist read them again.
  `no` means "no tumour, says the uploader", not "healthy". In the Kaggle set that this project was made for,
  several `no` images show plain lesions (N1, N11, N15, N16, N17, N19, N22, no 10, 15 no, 32 no, 36 no).
- Nobody knows which images are of one patient: two slices of one head may count as independent.
- In that set, file size and format alone tell the classes apart with an AUC of 0.82 to 0.85, and that link
  reverses on images of another source. Good figures here promise nothing for another hospital's images.
- Nearly all of its slices are axial. A healthy head seen from the side is not symmetric, and may be taken for
  one with a tumour.
"""
