"""The workflow's command trains in the environment's pipeline, and its branch follows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import mlflow
import pytest

from infra import names, release
from infra.release import NO_RELEASE
from model.evaluation.predictions import FILE
from tests.e2e.releases import Environment
from tests.e2e.test_retraining import MODEL, register_worse
from tests.git import branches, git, publish

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import Demo

pytestmark = pytest.mark.slow

NAME = "piped"
TRAINING = """
[training]
image = "763104351884.dkr.ecr.us-east-1.amazonaws.com/tensorflow-training:2.21.0-cpu-py312"
mlflow = "{store}"
expire_days = 1
"""


def test_the_pipeline_trains_as_this_machine_does_and_ends_in_a_branch(demo: Demo, tmp_path: Path) -> None:
    # Given what this machine trained, and an environment with a pipeline, where a worse model serves
    store = f"sqlite:///{demo.root}/mlruns/mlflow.db"
    client = mlflow.MlflowClient(store)
    here = client.get_model_version(MODEL, "1")
    worse = client.get_model_version(MODEL, register_worse(store, tmp_path / "worse"))
    environment, remote = Environment(demo, NAME), tmp_path / "remote.git"
    served = release.load(environment.record)
    model = replace(served.model, version=str(worse.version))
    served = replace(served, model=model, mlflow=replace(served.mlflow, run_id=str(worse.run_id)))
    release.replace(environment.record, served, card="# A worse model\n")
    settings = demo.root / "infra" / "environments" / f"{NAME}.toml"
    settings.write_text(settings.read_text() + TRAINING.format(store=store))
    context = ("-c", f"env={NAME}", "-c", f"release={NO_RELEASE}", "--require-approval", "never")
    demo.run("scripts/cdk", "deploy", *context, names.stack(NAME, "registry"))
    publish(demo.root, remote)

    # When the workflow's command trains with the same images and options
    done = environment.run("retrain", "--quick")

    # Then the pipeline has registered a version, with its gates, and there is one branch of it
    assert f"✓ training in {names.training_pipeline(NAME)}" in done.stderr
    [name] = branches(remote)
    piped = client.get_model_version(MODEL, name.rpartition("-v")[2])
    assert int(piped.version) == int(worse.version) + 1
    assert piped.tags["gates"]
    git(demo.root, "pull", "--quiet", "--no-rebase", "origin", name)
    assert release.load(environment.record).model.version == str(piped.version)
    # Every figure and prediction is that of this machine, to the last digit
    runs = [client.get_run(str(each.run_id)) for each in (here, piped)]
    assert runs[0].data.metrics == runs[1].data.metrics
    assert len(runs[0].data.metrics) > 10
    tables = [demo.root / "mlruns" / "artifacts" / run.info.run_id / "artifacts" / FILE for run in runs]
    assert tables[0].read_text() == tables[1].read_text()
    # And `scripts/train` trains there too, from the finished fits
    done = environment.run("train", "--on", "sagemaker", "--quick", "--resume", "--challenger")
    assert f"✓ its runs and models are in {store}" in done.stderr
    again = client.get_model_version(MODEL, str(int(piped.version) + 1))
    assert again.run_id == piped.run_id
    # And what another demo would reuse is gone
    client.set_registered_model_alias(MODEL, "champion", "1")
    for version in (worse, piped, again):
        client.delete_model_version(MODEL, str(version.version))
