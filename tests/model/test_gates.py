"""Each gate refuses what it is there for: first by figures alone, then models that were trained to be bad."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from model import data, gates, network, phantom
from model.baselines import MetadataForest, NearestNeighbour
from model.crossval import cross_validate
from model.evaluate import Difference, compare, figures, flat
from model.finish import straddling
from model.learner import learner
from model.pictures import Pictures
from model.recipe import QUICK
from model.robustness import AS_IT_IS
from model.split import group, plan

from .passing import GOOD

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from model.backend import keras
    from model.crossval import Fit, Logits, OutOfFold
    from model.data import Dataset
    from model.learner import Learner
    from model.split import Cases

    Labels = NDArray[np.int64]

NAMES = {
    *("beats_metadata", "beats_champion", "sensitivity", "specificity", "calibration"),
    *("not_by_heart", "groups_apart", "robust", "refuses_others", "accepts_mri"),
}
EFFICIENTNET, SIZE, FOLDS = "efficientnet_lite0", 128, 3
HEADS, LIKENESSES = 24, 3


def refused(
    metrics: dict[str, float], *, over: Difference | None = None, comparable: bool = True
) -> set[str]:
    outcomes = gates.evaluate(metrics, comparable=comparable, over_champion=over, rival="version 1")
    assert {outcome["name"] for outcome in outcomes} == NAMES
    assert all(outcome["detail"] for outcome in outcomes)
    return {outcome["name"] for outcome in outcomes if not outcome["passed"]}


def better(share: float) -> Difference:
    return Difference(0.01, -0.01, 0.03, better=share)


class TestByFigures:
    def test_good_figures_pass_every_gate(self) -> None:
        assert refused(GOOD) == set()
        assert refused(GOOD, over=better(0.97)) == set()

    @pytest.mark.parametrize(
        ("gate", "figure", "enough", "not_enough"),
        [
            ("beats_metadata", "roc_auc_low", 0.851, 0.85),
            ("beats_metadata", "forest_roc_auc_high", 0.919, 0.92),
            ("sensitivity", "sensitivity", 0.93, 0.929),
            ("specificity", "specificity", 0.60, 0.599),
            ("calibration", "calibration_error", 0.06, 0.061),
            ("not_by_heart", "roc_auc", 0.841, 0.839),
            ("not_by_heart", "training_roc_auc", 1.0, 1.11),
            ("groups_apart", "straddling_groups", 0.0, 1.0),
            ("robust", "largest_fall", 3.0, 3.1),
            ("refuses_others", "refused_other", 0.95, 0.949),
            ("accepts_mri", "refused_mri", 0.02, 0.021),
        ],
    )
    def test_each_gate_has_its_own_limit(
        self, gate: str, figure: str, enough: float, not_enough: float
    ) -> None:
        assert refused(GOOD | {figure: enough}) == set()
        assert refused(GOOD | {figure: not_enough}) == {gate}

    @pytest.mark.parametrize("figure", [*GOOD])
    def test_a_figure_that_is_no_number_passes_nothing(self, figure: str) -> None:
        assert refused(GOOD | {figure: float("nan")})

    def test_a_challenger_must_be_better_in_nine_of_ten_draws(self) -> None:
        assert refused(GOOD, over=better(0.90)) == set()
        assert refused(GOOD, over=better(0.899)) == {"beats_champion"}

    def test_what_could_be_compared_and_was_not_is_refused(self) -> None:
        assert refused(GOOD, comparable=False) == {"beats_champion"}

    def test_every_gate_is_judged_whatever_the_others_say(self) -> None:
        turned = {
            "roc_auc": 0.5,
            "roc_auc_low": 0.4,
            "sensitivity": 0.0,
            "specificity": 0.0,
            "calibration_error": 1.0,
            "straddling_groups": 3.0,
            "largest_fall": 50.0,
            "refused_other": 0.0,
            "refused_mri": 1.0,
        }
        assert refused(GOOD | turned, comparable=False) == NAMES

    def test_the_verdict_names_the_figure_and_the_limit(self) -> None:
        outcomes = gates.evaluate(
            GOOD | {"sensitivity": 0.5}, comparable=True, over_champion=better(0.4), rival="version 7"
        )
        details = {outcome["name"]: outcome["detail"] for outcome in outcomes}
        assert details["sensitivity"] == "sensitivity 0.500, at least 0.93 needed"
        assert "against version 7, better in 40% of the paired draws, 90% needed" in details["beats_champion"]


def measured(said: OutOfFold, forest: OutOfFold, straddling_groups: int = 0) -> dict[str, float]:
    """Figures as a training has them; those that need pixels changed or other pictures are taken as good."""
    areas = {
        **flat({"roc_auc": figures(said.judged())["roc_auc"]}),
        **flat({"roc_auc": figures(forest.judged())["roc_auc"]}, prefix="forest_"),
    }
    own = {"training_roc_auc": said.training_auc, "straddling_groups": float(straddling_groups)}
    return GOOD | areas | own


def forest_of(dataset: Dataset, cases: Cases) -> OutOfFold:
    forest = MetadataForest(dataset.scans)
    return cross_validate(
        [cases], lambda fit: {AS_IT_IS: forest.scores(fit.training, fit.cases, fit.seed)}, seed=0
    )


def learnt(network_learner: Learner, cases: Cases, *, taught: Labels | None = None) -> OutOfFold:
    """Cross-validate a network; `taught` are other labels than those it is measured by."""

    def run(fit: Fit) -> Logits:
        seen = fit.cases if taught is None else replace(fit.cases, labels=taught)
        head = network_learner.fit(seen, fit.training, seed=fit.seed, report=lambda _: None)
        return {AS_IT_IS: head.logits(network_learner.features(AS_IT_IS, np.ones(len(seen), dtype=bool)))}

    return cross_validate([cases], run, seed=0)


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Enough of them to learn more from than by heart."""
    folder = tmp_path_factory.mktemp("many-phantoms")
    phantom.write_folder(folder, count=144, seed=1)
    return data.load(folder)


@pytest.fixture(scope="module")
def able(phantoms: Dataset) -> Learner:
    """A network that can tell the phantoms apart, as it serves."""
    recipe = replace(QUICK, transfer_size=SIZE, views=1)
    pictures = Pictures(phantoms.scans, seed=0)

    def start() -> keras.Model:
        return network.with_asymmetry(network.look_twice(network.build_trunk(EFFICIENTNET, size=SIZE)))

    return learner(EFFICIENTNET, pictures, recipe, start=start)


@pytest.fixture(scope="module")
def cases(phantoms: Dataset) -> Cases:
    groups = group(scan.image() for scan in phantoms.scans)
    return plan(phantoms.labels, groups, folds=FOLDS, seed=0)


@pytest.fixture(scope="module")
def forest(phantoms: Dataset, cases: Cases) -> OutOfFold:
    return forest_of(phantoms, cases)


@pytest.fixture(scope="module")
def good(able: Learner, cases: Cases) -> OutOfFold:
    return learnt(able, cases)


@pytest.fixture
def shuffled(cases: Cases) -> Labels:
    return np.random.default_rng(0).permutation(cases.labels)


def test_an_honest_network_is_let_through(good: OutOfFold, forest: OutOfFold) -> None:
    assert refused(measured(good, forest)) == set()


def test_a_worse_one_is_refused_and_the_better_one_is_not(
    able: Learner, cases: Cases, shuffled: Labels, good: OutOfFold, forest: OutOfFold
) -> None:
    worse = learnt(able, cases, taught=shuffled)
    over = compare(worse.judged(), good.judged(), "roc_auc")
    assert "beats_champion" in refused(measured(worse, forest), over=over)
    over = compare(good.judged(), worse.judged(), "roc_auc")
    assert refused(measured(good, forest), over=over) == set()


def test_one_that_is_as_good_as_the_champion_is_refused(good: OutOfFold, forest: OutOfFold) -> None:
    over = compare(good.judged(), good.judged(), "roc_auc")
    assert refused(measured(good, forest), over=over) == {"beats_champion"}


def test_an_overfitted_one_is_refused(
    able: Learner, cases: Cases, shuffled: Labels, forest: OutOfFold
) -> None:
    # Given labels that are noise, which can only be learnt by heart
    noise = plan(shuffled, cases.groups, folds=FOLDS, seed=0)
    by_heart = learnt(able, noise)
    assert by_heart.training_auc > 0.95
    assert {"not_by_heart", "beats_metadata"} <= refused(measured(by_heart, forest))


@pytest.fixture(scope="module")
def likenesses(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Three near-duplicates of each head, labelled by chance: nothing but the head itself tells the label."""
    folder = tmp_path_factory.mktemp("likenesses")
    labels = np.random.default_rng(0).permutation(np.arange(HEADS) % 2)
    for head, label in enumerate(labels):
        drawn = phantom.draw(seed=head, lesion=False, size=160)
        for again in range(LIKENESSES):
            likeness = ImageEnhance.Brightness(drawn).enhance(1 - 0.1 * again)
            save(likeness, folder / data.CLASSES[label] / f"{head:02d}-{again}.png")
    return data.load(folder)


def save(image: Image.Image, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    image.save(path)


def test_one_measured_on_a_leaky_split_is_refused(likenesses: Dataset) -> None:
    # Given folds drawn over files, as if each were independent, and such that keep likenesses together
    files = np.arange(len(likenesses.scans))
    groups = group(scan.image() for scan in likenesses.scans)
    neighbour = NearestNeighbour(likenesses.scans)
    results = {}
    for name, known in (("leaky", files), ("honest", groups)):
        cases = plan(likenesses.labels, known, folds=FOLDS, seed=0)
        said = cross_validate(
            [cases], lambda fit: {AS_IT_IS: neighbour.scores(fit.training, fit.cases, fit.seed)}, seed=0
        )
        # When groups are found anew in the images, whatever the folds were drawn by
        results[name] = measured(said, forest_of(likenesses, cases), straddling([cases], groups))
    # Then the leaky one, however good it looks, is refused for it, and the honest one is not
    assert results["leaky"]["roc_auc"] > 0.9
    assert results["honest"]["roc_auc"] < 0.7
    assert "groups_apart" in refused(results["leaky"])
    assert "groups_apart" not in refused(results["honest"])


def test_one_that_looks_only_at_size_is_refused(tmp_path: Path) -> None:
    # Given heads without any lesion, of which those called YES are larger
    sizes = np.random.default_rng(0).normal(200, 20, size=60) + 60 * (np.arange(60) % 2)
    for head, size in enumerate(sizes):
        drawn = phantom.draw(seed=head, lesion=False, size=round(size))
        save(drawn, tmp_path / data.CLASSES[head % 2] / f"{head:02d}.png")
    sized = data.load(tmp_path)
    cases = plan(sized.labels, np.arange(len(sized.scans)), folds=FOLDS, seed=0)
    # When a model reads the image's size and nothing else
    heights = np.array([scan.image().height for scan in sized.scans], dtype=np.float64)
    said = cross_validate([cases], lambda _: {AS_IT_IS: (heights - heights.mean()) / 10}, seed=0)
    # Then its figure is high, and it is refused for knowing no more than the files' headers tell
    metrics = measured(said, forest_of(sized, cases))
    assert metrics["roc_auc"] > 0.9
    assert refused(metrics) == {"beats_metadata"}
