"""The MLflow store of training runs and registered models. Importing this module imports no TensorFlow.

The default store is an SQLite file and a folder of artifacts under `mlruns/`; `MLFLOW_TRACKING_URI` names
another one, such as a server.
"""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import mlflow
import requests
from mlflow.exceptions import MlflowException
from mlflow.utils.credentials import get_default_host_creds
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from model import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

STORE = ROOT / "mlruns"
EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}  # how MLflow's pages show it
TIMEOUT_S = 10  # for a tracking server's first answer
LOCATIONS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
)
"""Columns in which MLflow's database keeps absolute locations of artifacts."""


class TrackingError(Exception):
    """The MLflow store cannot be used; the message says what to do."""


def uri() -> str:
    """Return the store's URI: `MLFLOW_TRACKING_URI`, or the project's own store."""
    return os.environ.get("MLFLOW_TRACKING_URI") or _own_uri()


def _own_uri() -> str:
    database = str(STORE / "mlflow.db")
    if "%" in database or "?" in database:
        # SQLAlchemy and SQLite each decode the path once.
        return f"sqlite:///file:{quote(quote(database))}?uri=true"
    return f"sqlite:///{database}"


def connect() -> None:
    """Point MLflow at its store and check that it answers; raise `TrackingError` if not."""
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    store = uri()
    mlflow.set_tracking_uri(store)
    try:
        if store.startswith(("http://", "https://")):
            # MLflow itself would retry for minutes.
            credentials = get_default_host_creds(store)  # type: ignore[no-untyped-call]
            certificate = credentials.client_cert_path
            requests.head(store, timeout=TIMEOUT_S, verify=credentials.verify, cert=certificate)
        with _exclusive(store):
            mlflow.search_experiments(max_results=1)
            if store == _own_uri():
                _relocate()
    except (MlflowException, SQLAlchemyError, sqlite3.Error, requests.RequestException, OSError) as error:
        raise TrackingError(
            f"the MLflow store {store} cannot be used: {error}. Start the server, correct "
            "MLFLOW_TRACKING_URI, or unset it to use mlruns/ in this folder."
        ) from error


def choose_experiment(name: str) -> None:
    """Create the experiment if it does not exist and log to it from now on."""
    with _exclusive(uri()):
        if mlflow.get_experiment_by_name(name) is None:
            # Compare with our own URI: MLflow itself sets MLFLOW_TRACKING_URI to the store in use.
            location = (STORE / "artifacts").as_uri() if uri() == _own_uri() else None
            mlflow.create_experiment(name, artifact_location=location, tags=EXPERIMENT_TAGS)
    mlflow.set_experiment(name)


@contextmanager
def _exclusive(store: str) -> Iterator[None]:
    """Let one process at a time create a database file: MLflow's migrations must not run concurrently."""
    database = make_url(store).database if store.startswith("sqlite:") else None
    if store == _own_uri():
        database = str(STORE / "mlflow.db")
    if database is None:
        yield
        return
    lock = Path(database).with_suffix(".lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _relocate() -> None:
    """Correct the absolute artifact locations in the database after the store's folder was moved."""
    here = (STORE / "artifacts").as_uri()
    with closing(sqlite3.connect(STORE / "mlflow.db")) as database, database:
        found = database.execute(
            "SELECT DISTINCT artifact_location FROM experiments "
            "WHERE artifact_location LIKE 'file:%/artifacts' AND artifact_location <> ?",
            [here],
        ).fetchall()
        for (before,) in found:
            for table, column in LOCATIONS:
                database.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?) "  # noqa: S608 - constants
                    f"WHERE {column} = ? OR substr({column}, 1, ?) = ?",
                    [here, len(before) + 1, before, len(before) + 1, f"{before}/"],
                )


@contextmanager
def run(name: str, *, nested: bool = False, resumed: str | None = None) -> Iterator[str]:
    """Open a run, or one to continue (`resumed`), and yield its id.

    Ctrl-C ends it as KILLED, an exception as FAILED with a tag `error`.
    """
    with mlflow.start_run(run_id=resumed, run_name=name, nested=nested) as started:
        try:
            yield started.info.run_id
        except KeyboardInterrupt:
            mlflow.end_run("KILLED")
            raise
        except Exception as error:
            mlflow.set_tag("error", str(error)[:500])
            raise


def latest(tags: dict[str, str]) -> str | None:
    """Id of the newest run of the current experiment with these tags, whatever its status."""
    found = mlflow.search_runs(
        filter_string=" and ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items()),
        order_by=["attributes.start_time DESC"],
        max_results=1,
        output_format="list",
    )
    return str(found[0].info.run_id) if found else None


def children(run_id: str, *, finished: bool = False) -> dict[str, str]:
    """Ids of a run's child runs by name; of equal names, the newest."""
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
