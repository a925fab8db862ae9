"""The workflow's command trains in the environment's pipeline, and its branch follows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mlflow
import pytest

from infra import names, release
from infra.release import NO_RELEASE
from model.data import phantom
from model.evaluation.predictions import FILE
from tests.e2e.releases import Environment
from tests.e2e.test_retraining import MODEL, branches, in_another_style

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import Demo

pytestmark = pytest.mark.slow

NAME = "piped"
IMAGES = 60
TRAINING = """
[training]
image = "763104351884.dkr.ecr.us-east-1.amazonaws.com/tensorflow-training:2.21-cpu-py312"
mlflow = "sqlite:///{store}"
expire_days = 1
"""
OPTIONS = ("--quick", "--folds", "3", "--steps", "40")


def draw(folder: Path) -> Path:
    """Draw phantoms in a style that the champion does not know."""
    for number in range(IMAGES):
        path = folder / ("no", "yes")[number % 2] / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(in_another_style(seed=9000 + number, lesion=number % 2 == 1))
    (folder / phantom.MARKER).write_text("drawn by a test\n")
    return folder


def test_the_pipeline_trains_as_this_machine_does_and_ends_in_a_branch(demo: Demo, tmp_path: Path) -> None:
    # Given an environment with a pipeline, in git, and images; no endpoint is needed
    environment, remote = Environment(demo, NAME), tmp_path / "remote.git"
    settings = demo.root / "infra" / "environments" / f"{NAME}.toml"
    store = demo.root / "mlruns" / "mlflow.db"
    settings.write_text(settings.read_text() + TRAINING.format(store=store))
    registry = names.stack(NAME, "registry")
    context = ("-c", f"env={NAME}", "-c", f"release={NO_RELEASE}")
    demo.run("scripts/cdk", "deploy", *context, "--require-approval", "never", registry)
    environment.push_to(remote)
    images = ("--data", str(draw(tmp_path / "styled")))

    # When this machine trains, and the workflow's command trains in the pipeline with the same images
    demo.run("scripts/train", *images, *OPTIONS, "--challenger")
    done = environment.run("retrain", *images, *OPTIONS)

    # Then there is one branch, of what the pipeline registered after its gates
    assert f"training in {names.training_pipeline(NAME)}" in done.stderr
    [name] = branches(remote)
    client = mlflow.MlflowClient(f"sqlite:///{store}")
    versions = client.search_model_versions(f"name='{MODEL}'")
    piped, here = sorted(versions, key=lambda each: -int(each.version))[:2]
    assert name.endswith(f"-v{piped.version}")
    environment.git("fetch", "--quiet", "origin")
    environment.git("merge", "--quiet", f"origin/{name}")
    assert release.load(environment.record).model.version == str(piped.version)
    # And every figure, prediction and gate is that of this machine, to the last digit
    runs = [client.get_run(str(each.run_id)) for each in (here, piped)]
    assert runs[0].data.metrics == runs[1].data.metrics
    assert len(runs[0].data.metrics) > 10
    assert here.tags["gates"] == piped.tags["gates"]
    tables = [demo.root / "mlruns" / "artifacts" / run.info.run_id / "artifacts" / FILE for run in runs]
    assert tables[0].read_text() == tables[1].read_text()
    for version in (here, piped):  # which another demo would reuse
        client.delete_model_version(MODEL, str(version.version))
