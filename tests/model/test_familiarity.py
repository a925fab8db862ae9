"""How much an image's view resembles those that a network learnt."""

from __future__ import annotations

import numpy as np

from model.networks.familiarity import FEWEST, fit_familiarity


def test_an_unknown_view_is_less_familiar_and_the_layer_agrees() -> None:
    # Given features of two views, of a rare one, and of a fourth that is not learnt
    rng = np.random.default_rng(0)
    views = np.repeat(["axial t1", "axial flair", "rare"], [80, 60, FEWEST - 1])
    shifts = {"axial t1": 0.0, "axial flair": 2.0, "rare": 3.0}
    features = rng.normal(size=(len(views), 12)) + np.array([[shifts[view]] for view in views])
    known, unknown = features.astype(np.float32), rng.normal(loc=-4, size=(50, 12)).astype(np.float32)
    fitted = fit_familiarity(known, views)
    assert len(fitted.means) == 3
    assert np.quantile(fitted.of(known), 0.05) > fitted.of(unknown).max()
    # Then the layer in the network computes the same
    everything = np.concatenate([known, unknown])
    computed = np.asarray(fitted.layer()(everything))
    np.testing.assert_allclose(computed[:, 0], fitted.of(everything), rtol=1e-3, atol=1e-3)
