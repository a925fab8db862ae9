"""The demo's model, logs and programs; tests/e2e brings up the whole."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import mlflow
import pytest

from infra.paths import ROOT
from model import tracking
from model.release import registry
from scripts.commands import demo
from scripts.console import DeliveryError

if TYPE_CHECKING:
    from pathlib import Path

    from model.data.dataset import Dataset

NAME = "tumor-detector"


def register(fingerprint: str, *, champion: bool = False) -> str:
    """Register a version that was trained on the images with this fingerprint; return its number."""
    with mlflow.start_run() as run:
        dataset = {"kind": "images", "name": "brain", "fingerprint": fingerprint}
        metadata = {"architecture": "plain_cnn", "metrics": {}, "dataset": dataset}
        mlflow.log_dict(metadata, "serving/metadata.json")
    client = mlflow.MlflowClient()
    if not client.search_registered_models():
        client.create_registered_model(NAME)
    source = f"runs:/{run.info.run_id}/serving"
    version = str(client.create_model_version(NAME, source, run.info.run_id).version)
    if champion:
        client.set_registered_model_alias(NAME, registry.CHAMPION, version)
    return version


def chosen(fingerprint: str) -> str | None:
    images = SimpleNamespace(kind="images", fingerprint=fingerprint)
    version = demo._version_trained_on(cast("Dataset", images))
    return version.version if version else None


def test_the_champion_or_else_the_newest_model_of_the_same_images_is_reused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    tracking.connect()
    mlflow.create_experiment(NAME, artifact_location=(tmp_path / "artifacts").as_uri())
    mlflow.set_experiment(NAME)
    champion = register("first", champion=True)
    register("second")
    newest = register("second")
    register("first")
    assert chosen("first") == champion
    assert chosen("second") == newest
    assert chosen("third") is None  # even the champion is of other images


def test_each_demo_has_its_own_logs_and_the_oldest_are_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "LOGS", tmp_path)
    first, second = demo._log_folder(4566), demo._log_folder(4567)
    assert first != second
    for day in range(10, 20):
        (tmp_path / f"202001{day}-000000-4566").mkdir()
    assert demo._log_folder(4568).is_dir()
    assert len(list(tmp_path.iterdir())) == demo.LOGS_KEPT
    assert first.is_dir()


def test_a_failed_program_shows_the_end_of_its_output_without_progress_bars(tmp_path: Path) -> None:
    failing = "import sys; print('fit:  50%| | 1/2 [00:01<00:01, 1.0fit/s]'); sys.exit('no such class')"
    with (
        demo._program([sys.executable, "-c", failing], log=tmp_path / "log") as wait,
        pytest.raises(DeliveryError, match=r"^training failed:\nno such class$"),
    ):
        wait("training")


CONSOLE = """
import pathlib, subprocess, sys
from scripts import console
log = pathlib.Path(sys.argv[1])
log.parent.mkdir(exist_ok=True)
with console.details_in(log), console.step("training"):
    console.detail("an epoch")
    print("a library's notice", file=sys.stderr)
    subprocess.run(["sh", "-c", "echo notice of a child >&2"])
console.echo("the end")
"""


def run_console(script: str, folder: Path) -> tuple[str, list[str]]:
    """Run the script; return what the terminal shows and the lines of the log."""
    log = folder / "logs" / "demo.log"
    done = subprocess.run(
        [sys.executable, "-c", script, log],
        capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    return done.stderr, log.read_text().splitlines()


def test_the_terminal_shows_steps_alone_and_the_log_everything(tmp_path: Path) -> None:
    shown, logged = run_console(CONSOLE, tmp_path)
    assert shown == "✓ training (0 s)\nthe end\n"
    assert logged == [
        "▸ training ...", "an epoch", "a library's notice", "notice of a child", "✓ training (0 s)"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("error", "outcome"), [("ValueError", "✗ training (0 s)"), ("KeyboardInterrupt", "")]
)
def test_a_failed_step_is_marked_and_an_interrupted_one_is_not(
    tmp_path: Path, error: str, outcome: str
) -> None:
    shown, _ = run_console(CONSOLE.replace('console.detail("an epoch")', f"raise {error}"), tmp_path)
    assert "training" in shown if outcome else "training" not in shown
    assert outcome in shown
