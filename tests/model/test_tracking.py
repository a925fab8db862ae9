"""The MLflow store: its location, connection errors, and concurrent creation."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING
from unittest.mock import Mock

import mlflow
import pytest
import requests
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED

from model import ROOT, tracking
from model.release import registry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROGRAM = """
import sys
from pathlib import Path
from model import tracking
tracking.STORE = Path(sys.argv[1])
tracking.connect()
tracking.choose_experiment("together")
with tracking.run("a run"):
    pass
"""


@pytest.fixture
def another_store(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Patch to another store, and return to the default one afterwards."""
    yield monkeypatch
    monkeypatch.undo()
    tracking.connect()


def test_the_default_is_sqlite_with_the_artifacts_beside_it(store: Path) -> None:
    tracking.connect()
    tracking.choose_experiment("default store")
    assert tracking.uri() == f"sqlite:///{store / 'mlflow.db'}"
    with tracking.run("a run") as run_id:
        mlflow.log_text("content", "file.txt")
    assert (store / "artifacts" / run_id / "artifacts" / "file.txt").is_file()


def test_an_unreachable_server_is_a_clear_error(another_store: pytest.MonkeyPatch) -> None:
    another_store.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(tracking.TrackingError, match=r"127\.0\.0\.1:9 cannot be used.*unset it"):
        registry.find_version()


@pytest.mark.parametrize(
    ("name", "value", "verify"),
    [
        ("MLFLOW_TRACKING_SERVER_CERT_PATH", "/etc/own-ca.pem", "/etc/own-ca.pem"),
        ("MLFLOW_TRACKING_INSECURE_TLS", "true", False),
        ("UNRELATED", "true", True),
    ],
)
def test_the_check_of_a_server_honours_mlflows_tls_settings(
    another_store: pytest.MonkeyPatch, name: str, value: str, *, verify: str | bool
) -> None:
    checks: list[object] = []
    another_store.setattr(requests, "head", lambda *_, **options: checks.append(options["verify"]))
    another_store.setattr(mlflow, "search_experiments", lambda **_: [])
    another_store.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example")
    another_store.setenv(name, value)
    tracking.connect()
    assert checks == [verify]


def test_a_registry_error_is_not_reported_as_a_missing_champion(
    another_store: pytest.MonkeyPatch,
) -> None:
    refused = MlflowException("you may not read this model", error_code=PERMISSION_DENIED)
    another_store.setattr(mlflow.MlflowClient, "get_model_version_by_alias", Mock(side_effect=refused))
    with pytest.raises(registry.RegistryError, match="you may not read this model") as caught:
        registry.find_version("a-model")
    assert not isinstance(caught.value, registry.NoSuchVersionError)


@pytest.mark.slow
def test_two_trainings_can_create_the_store_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "mlruns")]
    # MLflow sets this variable to the store of this process
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    both = [
        subprocess.Popen(
            command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        )
        for _ in range(2)
    ]
    errors = [process.communicate()[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], errors
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlruns' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("together")
    assert experiment is not None
    assert len(client.search_runs([experiment.experiment_id])) == 2
