"""Every fit starts from the same weights, uses its training images only and holds for other heads."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.ndimage import rotate
from sklearn.metrics import roc_auc_score

from model.data.cases import Cases
from model.data.image_cache import ImageCache
from model.data.split import assign_folds
from model.networks.architectures import Encoder
from model.networks.backend import keras
from model.training import learner as module
from model.training.config import ARCHITECTURES, QUICK, TrainingError
from model.training.learner import Learner
from tests.model.drawn_scans import DrawnScan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from model.arrays import Floats, Greys, Names

COUNT, SIZE = 36, 32
SEEN, UNSEEN, SIDE = 140, 40, 96
STEPS = {"efficientnet_lite0": 60, "linear_probe": 60, "plain_cnn": 200}
TAUGHT = [pytest.param(name, marks=[pytest.mark.slow] * (name != ARCHITECTURES[0])) for name in ARCHITECTURES]
EPOCH = 5  # instead of the usual number of steps, for time
RECIPE = replace(QUICK, size=SIZE, views=1, steps=2 * EPOCH, batch_size=8, averaging=0.5)
SCANS = [DrawnScan(seed, label=seed % 2, mask=seed < COUNT / 2) for seed in range(COUNT)]
CASES = assign_folds(np.arange(COUNT) % 2, np.arange(COUNT), folds=3, seed=0)


def build(name: str, *, sources: Names | None = None) -> Learner:
    images = ImageCache(SCANS, size=SIZE, views=1, seed=0)  # type: ignore[arg-type]
    sources = np.full(COUNT, "one") if sources is None else sources
    return Learner(images, Encoder(SIZE), replace(RECIPE, architecture=name), sources=sources)


@pytest.fixture(scope="module", params=TAUGHT)
def learner(request: pytest.FixtureRequest) -> Iterator[Learner]:
    """Shared by all tests, since earlier fits must not matter."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "EPOCH", EPOCH)
        yield build(request.param)


def logits_of(learner: Learner, cases: Cases = CASES, *, fold: int = 0, seed: int = 0) -> Floats:
    """Logits of every image after a fit to all but one fold."""
    learner.fit(cases, cases.folds != fold, seed=seed)
    return learner.logits()


def same(first: Floats, second: Floats) -> bool:
    return bool(np.abs(first - second).max() < 0.01 * np.ptp(first))


def test_equal_seeds_give_equal_logits_whatever_was_fitted_before(learner: Learner) -> None:
    first, other, again = logits_of(learner), logits_of(learner, fold=1, seed=5), logits_of(learner)
    assert same(first, again)
    assert not same(first, other)
    # And another learner starts alike
    assert all(map(np.array_equal, learner._first, build(learner.tail.name)._first))


def test_images_and_labels_outside_the_training_do_not_matter(
    learner: Learner, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, own = logits_of(learner), CASES.folds == 0
    # Given left-out images with other labels, which change a fit that is trained on them
    inverted = replace(CASES, labels=np.where(own, 1 - CASES.labels, CASES.labels))
    assert not same(logits_of(learner, inverted, fold=1), logits_of(learner, fold=1))
    # And without any pixels
    views = learner._views.copy()
    views[:, own] = np.nan
    monkeypatch.setitem(vars(learner), "_views", views)
    # Then a fit to the others is the same
    assert same(plain[~own], logits_of(learner, inverted)[~own])


def test_a_training_that_diverges_fails_with_advice(
    learner: Learner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(vars(learner), "_views", learner._views * np.float16(np.nan))
    with pytest.raises(TrainingError, match=rf"loss became nan by step {EPOCH}: .*Lower the learning rate"):
        logits_of(learner)


def test_a_single_step_is_a_training(learner: Learner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learner, "_recipe", replace(RECIPE, steps=1))
    assert np.isfinite(logits_of(learner)).all()


def test_a_fit_teaches_the_tail_alone_and_not_its_normalisation(learner: Learner) -> None:
    encoder = learner.encoder.model
    frozen = {layer.name: layer.get_weights() for layer in encoder.layers}
    losses: dict[int, float] = {}
    learner.fit(CASES, CASES.folds != 0, seed=0, on_epoch=losses.__setitem__)
    # Then the loss of every epoch is reported, and falls
    assert [*losses] == [1, 2]
    assert losses[2] < losses[1] < 10
    # And the encoder is as before, the fine-tuned tail is not
    for layer in encoder.layers:
        assert all(map(np.array_equal, layer.get_weights(), frozen[layer.name]))
    assert learner.tail.get_layer("evidence").get_weights()[0].any()
    if learner.tail.name == "efficientnet_lite0":
        for layer in learner.tail.layers:
            if layer.weights and layer.name != "evidence":
                kept = all(map(np.array_equal, layer.get_weights(), frozen[layer.name]))
                assert kept == isinstance(layer, keras.layers.BatchNormalization)
    # And perturbed images have other logits
    plain, every = learner.logits(), np.arange(COUNT)
    assert same(plain, learner.logits("unchanged", every))
    assert not same(plain, learner.logits("upside down", every))


def test_classes_are_drawn_equally_often_over_all_sources() -> None:
    # Given a source of YES alone, and one of both classes of which four NO are of one group
    sources = np.array([*["a"] * 4, *["b"] * 9, *["left out"] * (COUNT - 13)])
    labels = np.array([1, 1, 1, 1, 1, *[0] * 8, *[1] * (COUNT - 13)])
    groups = np.array([*range(9), 9, 9, 9, 9, *range(13, COUNT)])
    cases, training = Cases(labels, groups, groups, np.ones(COUNT)), sources != "left out"
    chances = build("linear_probe", sources=sources).chances(cases, training)
    # Then each class has half, an image left out nothing
    assert [chances[labels == label].sum() for label in (0, 1)] == pytest.approx([0.5, 0.5])
    assert not chances[~training].any()
    # And a source counts by the square root of its images of a class, as a group does in its source
    assert chances[:4].sum() / chances[4] == pytest.approx(2)
    assert chances[9:13].sum() / chances[5] == pytest.approx(2)


def test_cells_of_tumour_free_images_count_only_beside_outlined_tumours() -> None:
    learner, outlined = build("linear_probe"), np.array([scan.mask and scan.label == 1 for scan in SCANS])
    for training, expected in ((np.ones(COUNT, dtype=bool), True), (~outlined, False)):
        batches = learner._batches(CASES, learner.chances(CASES, training), np.random.default_rng(0))
        _, facts = next(batches)
        assert facts[:, 1].any() == expected


@pytest.fixture(scope="module")
def heads() -> ImageCache:
    """Those to learn from, half with a lesion; then each unseen head without and with one."""
    seen = [DrawnScan(seed, label=seed % 2, mask=True) for seed in range(SEEN)]
    unseen = [DrawnScan(1000 + seed, label, mask=True) for label in (0, 1) for seed in range(UNSEEN)]
    return ImageCache([*seen, *unseen], size=SIDE, views=1, seed=0)  # type: ignore[list-item]


@pytest.fixture(scope="module", params=TAUGHT)
def taught(request: pytest.FixtureRequest, heads: ImageCache) -> Learner:
    """Fitted to the seen heads."""
    labels, alone = np.array([scan.label for scan in heads._scans]), np.arange(len(heads))
    recipe = replace(QUICK, architecture=request.param, size=SIDE, views=1, steps=STEPS[request.param])
    made = Learner(heads, Encoder(SIDE), recipe, sources=np.full(len(heads), "one"))
    made.fit(Cases(labels, alone, alone, np.ones(len(heads))), alone < SEEN, seed=0)
    return made


def test_unseen_heads_are_classified_and_a_lesion_raises_the_logit(taught: Learner) -> None:
    healthy, ill = taught.logits()[SEEN:].reshape(2, UNSEEN)
    assert roc_auc_score(np.repeat([0, 1], UNSEEN), np.r_[healthy, ill]) > 0.75
    assert np.mean(ill > healthy) > 0.75


@pytest.mark.parametrize("change", ["mirrored", "rotated", "darker"])
def test_the_logit_is_invariant_to_benign_changes(taught: Learner, heads: ImageCache, change: str) -> None:
    plain = heads.views.greys[0, SEEN:]
    changed: Greys = {
        "mirrored": plain[:, :, ::-1],
        "rotated": np.stack([rotate(head, 5, reshape=False, order=1) for head in plain]),
        "darker": (plain * 0.8).astype(np.uint8),
    }[change]
    after = taught._pooled(taught._evidence_of(taught.encoder.maps(changed, taught._level)))
    assert np.corrcoef(taught.logits()[SEEN:], after)[0, 1] > 0.8


def test_outlines_teach_where_the_lesion_is(taught: Learner, heads: ImageCache) -> None:
    shares = heads.views.shares[0, -UNSEEN:].astype(float)
    evidence = taught._evidence_of(taught._views[0, -UNSEEN:])[..., 0]
    large = shares.max(axis=(1, 2)) > 0.4
    assert large.mean() > 0.5
    # Then the evidence is higher inside an outline than outside
    parts = zip(evidence[large], shares[large], strict=True)
    assert np.mean([cells[own > 0.4].mean() > cells[own == 0].mean() for cells, own in parts]) > 0.9
