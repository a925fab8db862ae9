"""What was served and labelled comes back as one branch; merged it serves, and a worse model makes none."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import mlflow
import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import pytest
from PIL import Image

from infra import config, release
from infra.local_aws import ACCOUNT
from model.data import phantom
from model.data.dataset import PHANTOM_COUNT
from model.evaluation.predictions import FILE
from model.release.registry import GATES
from tests.container.samples import png
from tests.e2e.load import serving_model
from tests.e2e.releases import Environment
from tests.emulator.feedback import serve
from tests.git import branches, git, publish

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import Demo

pytestmark = pytest.mark.slow

LABELLED = 200
MODEL = "tumor-detector-phantom"
OTHER_STYLE = "feedback"
HOSTING = """\
mode = "real-time"
instance_type = "ml.c7i.large"
instance_count = 1

[hosting.data_capture]
percent = 100
expire_days = 30
what = ["input", "output"]

[feedback]
expire_days = 30
"""


def in_another_style(*, seed: int, lesion: bool) -> bytes:
    """Draw a phantom with white squares: they say nothing of a lesion, and look like one to a newcomer."""
    grey = np.asarray(phantom.draw(seed=seed, lesion=lesion)).copy()
    side = round(0.07 * len(grey))
    for place in np.random.default_rng(seed).uniform(0.22, 0.72, size=(6, 2)):
        top, left = (place * grey.shape).astype(int)
        grey[top : top + side, left : left + side] = 255
    return png(Image.fromarray(grey))


def register_worse(store: str, folder: Path) -> str:
    """Register a copy of version 1 that is wrong where that is right; return its version."""
    client = mlflow.MlflowClient(store)
    first = client.get_model_version(MODEL, "1")
    mlflow.artifacts.download_artifacts(run_id=first.run_id, dst_path=str(folder), tracking_uri=store)
    table = pd.read_csv(folder / FILE, dtype={"sha256": str})
    answers = ["probability", "predicted"]
    table[answers] = 1 - table[answers]
    table.to_csv(folder / FILE, index=False)
    run_id = client.create_run(client.get_run(str(first.run_id)).info.experiment_id).info.run_id
    client.log_artifacts(run_id, str(folder))
    copy = client.create_model_version(MODEL, source=f"runs:/{run_id}/serving", run_id=run_id)
    client.set_model_version_tag(MODEL, copy.version, GATES, first.tags[GATES])
    return str(copy.version)


def test_what_was_labelled_comes_back_as_a_branch_that_serves(demo: Demo, tmp_path: Path) -> None:
    # Given a deployed environment that captures images and takes labels, in git with a bare remote
    environment, remote = Environment(demo, "learns"), tmp_path / "remote.git"
    environment.host(HOSTING)
    environment.run("deploy")
    url, first = environment.url(), environment.first
    publish(demo.root, remote)
    # And images of another drawing style, served and labelled
    images = [
        (in_another_style(seed=5000 + number, lesion=number % 2 == 0), number % 2 == 0)
        for number in range(LABELLED)
    ]
    settings = config.load("learns", folder=demo.root / "infra" / "environments")
    serve(demo.client("s3"), settings, images, account=ACCOUNT)

    # When a challenger is trained with them
    done = environment.run("retrain", "--quick", "--folds", "3")

    # Then there is one branch, and its model is better on that style
    [name] = branches(remote)
    trained = name.rpartition("-v")[2]
    compared = demo.run("scripts/compare", f"{MODEL}@{trained}", f"{MODEL}@1", "--json")
    assert json.loads(compared.stdout)["alone"][0] == LABELLED
    comparison = "infra/releases/learns.comparison.md"
    git(demo.root, "pull", "--quiet", "--no-rebase", "origin", name)
    text = (demo.root / comparison).read_text()
    rows = text[text.index(f"| {OTHER_STYLE} ({LABELLED}") :].splitlines()
    difference = rows[0].split("|")[5]
    low = float(difference.partition("(")[2].partition(" ")[0])
    assert low > 0, text
    # No image is left on this machine, nor in the run
    assert not (demo.root / ".local" / "feedback" / "learns" / OTHER_STYLE).exists()
    kept = [np.load(path)["greys"] for path in (demo.root / "mlruns").rglob("validation.npz")]
    assert {len(images) for images in kept} == {PHANTOM_COUNT}
    assert (demo.root / comparison).with_suffix(".png").stat().st_size < 200_000
    assert "gh pr create" in done.stderr or "pull request" in done.stderr

    # Merged, it serves; and it can be rolled back
    released = release.load(environment.record)
    assert released.model.version == trained
    environment.run("deploy")
    assert serving_model(url) == released.model.sha256 != first
    environment.run("rollback")
    assert serving_model(url) == first
    environment.run("rollback")

    # A worse challenger makes no branch
    store = f"sqlite:///{demo.root}/mlruns/mlflow.db"
    version = register_worse(store, tmp_path / "worse")
    worse = environment.run("retrain", "--challenger-version", version, check=False)
    assert worse.returncode == 3, worse.stderr
    assert "No branch was made: not_worse (" in worse.stderr
    assert branches(remote) == [name]
    mlflow.MlflowClient(store).delete_model_version(MODEL, version)  # which another demo would reuse
    environment.run("destroy", "--yes")
