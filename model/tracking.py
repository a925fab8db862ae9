"""Where runs are kept: one MLflow store for training, registry and promotion.

The default is an SQLite file and a folder of artifacts under `mlruns/`; `MLFLOW_TRACKING_URI` names another
store, such as a server. Importing this imports no TensorFlow.
"""

from __future__ import annotations

import logging
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import mlflow
import requests
from mlflow.entities import Metric, RunStatus
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from .data import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

History = list[dict[str, float]]
"""The losses of each epoch, from the first."""
STORE = ROOT / "mlruns"
EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}  # how MLflow's pages show it
ANSWER_LIMIT_S = 10  # for a tracking server's first sign of life


class TrackingError(Exception):
    """The MLflow store cannot be used; the text says what to do."""


def uri() -> str:
    """Where runs are kept: what `MLFLOW_TRACKING_URI` says, else the project's own store."""
    return os.environ.get("MLFLOW_TRACKING_URI") or _own_uri()


def _own_uri() -> str:
    return f"sqlite:///{STORE / 'mlflow.db'}"


def connect() -> None:
    """Point MLflow at its store and see that it answers.

    Raises
    ------
    TrackingError
        When a server that `MLFLOW_TRACKING_URI` names does not answer, or a store cannot be opened.
    """
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    store = uri()
    if store == _own_uri():
        STORE.mkdir(exist_ok=True)
    mlflow.set_tracking_uri(store)
    try:
        if store.startswith(("http://", "https://")):
            requests.head(store, timeout=ANSWER_LIMIT_S)
        mlflow.search_experiments(max_results=1)
    except (MlflowException, SQLAlchemyError, requests.RequestException, OSError) as error:
        raise TrackingError(
            f"the MLflow store {store} cannot be reached: {error}. Start the server, correct "
            "MLFLOW_TRACKING_URI, or unset it to use mlruns/ in this folder."
        ) from error


def choose_experiment(name: str) -> None:
    """Log to this experiment from now on; with the default store its artifacts go beside the database."""
    if mlflow.get_experiment_by_name(name) is None:
        # Not by the environment: MLflow itself writes the store in use into MLFLOW_TRACKING_URI.
        beside = (STORE / "artifacts").as_uri() if uri() == _own_uri() else None
        mlflow.create_experiment(name, artifact_location=beside, tags=EXPERIMENT_TAGS)
    mlflow.set_experiment(name)


@contextmanager
def run(name: str, *, nested: bool = False, resumed: str | None = None) -> Iterator[str]:
    """Keep one run open and give its id; Ctrl-C leaves it KILLED, a failure FAILED and tagged with why.

    Parameters
    ----------
    resumed
        Id of a run of this name that is gone on with; else a new one begins.
    """
    started = mlflow.start_run(run_id=resumed, run_name=name, nested=nested)
    status = RunStatus.FINISHED
    try:
        yield started.info.run_id
    except KeyboardInterrupt:
        status = RunStatus.KILLED
        raise
    except Exception as error:
        status = RunStatus.FAILED
        mlflow.set_tag("error", str(error)[:500])
        raise
    finally:
        mlflow.end_run(RunStatus.to_string(status))


def latest(tags: dict[str, str]) -> str | None:
    """Id of the newest run of the chosen experiment that has these tags, whatever became of it."""
    found = mlflow.search_runs(
        filter_string=" and ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items()),
        order_by=["attributes.start_time DESC"],
        max_results=1,
        output_format="list",
    )
    return str(found[0].info.run_id) if found else None


def children(run_id: str, *, finished: bool = False) -> dict[str, str]:
    """Ids of the runs directly inside a run by their names; the newest where two have one name."""
    query = f"tags.mlflow.parentRunId = '{run_id}'"
    if finished:
        query += " and attributes.status = 'FINISHED'"
    found = mlflow.search_runs(
        [mlflow.get_run(run_id).info.experiment_id],
        filter_string=query,
        order_by=["attributes.start_time ASC"],
        output_format="list",
    )
    return {str(each.info.run_name): str(each.info.run_id) for each in found}


def log_history(history: History) -> None:
    """Log each epoch's losses in one request: the first is epoch 1."""
    active = mlflow.active_run()
    if active is None or not history:
        return
    now = int(1000 * time.time())
    metrics = [
        Metric(name, value, timestamp=now, step=epoch)
        for epoch, losses in enumerate(history, start=1)
        for name, value in losses.items()
    ]
    mlflow.MlflowClient().log_batch(active.info.run_id, metrics=metrics)
