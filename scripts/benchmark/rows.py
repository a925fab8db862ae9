"""The rows of the table: each a server, or the floor, and how it is started."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from scripts.benchmark.images import NAMES
from scripts.benchmark.places import CORES, PEERS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from scripts.benchmark.wire import Wire

Kind = Literal["floor", "ours", "mlflow", "framework", "hand-written", "same engine"]


@dataclass(frozen=True)
class Row:
    """One server as it is compared.

    Attributes
    ----------
    kind
        What it is compared as. The best of ``framework`` and of ``mlflow`` are what ours is held against.
    environment
        Of those in `environments`.
    engine
        For people; for servers of the benchmark's own, `judge_engine` is what they load.
    command
        With ``{python}``, ``{bin}``, ``{port}``, ``{workers}``, ``{scratch}`` and ``{form}`` (what `prepare`
        made) to be filled in; run in the folder `PEERS / folder`.
    prepare
        A command that makes `{form}` from the network once, in the row's environment.
    template
        A file beside the server that is filled in likewise and written to ``{scratch}`` before each start.
    images
        Those that it is measured with.
    needs
        A program of the system without which it is left out, and the package that has it.
    """

    name: str
    title: str
    kind: Kind
    environment: str
    engine: str
    workers: int
    command: tuple[str, ...]
    folder: str = ""
    wire: Wire = "raw"
    ping: str = "/ping"
    path: str = "/invocations"
    judge_engine: str | None = None
    variables: dict[str, str] = field(default_factory=dict)
    prepare: tuple[str, ...] | None = None
    template: str | None = None
    images: tuple[str, ...] = NAMES
    needs: tuple[str, str] | None = None

    @property
    def cwd(self) -> Path:
        """The folder that it runs in."""
        return PEERS / self.folder

    def obstacle(self) -> str | None:
        """Say what keeps it from being measured here, or None."""
        if self.needs and shutil.which(self.needs[0]) is None:
            return f"{self.needs[0]} is not on PATH: apt-get install {self.needs[1]}"
        return None


_SAVED_MODEL, _LITERT = "TensorFlow SavedModel", "LiteRT"


def _ours() -> list[Row]:
    def row(name: str, title: str, workers: int) -> Row:
        return Row(
            name, title, "ours", "ours", _LITERT, workers,
            command=("{python}", "-m", "container", "serve"),
            variables={
                "MODEL_DIR": "{network}/serving",
                "BIND_HOST": "127.0.0.1",
                "SAGEMAKER_BIND_TO_PORT": "{port}",
                "SAGEMAKER_MODEL_SERVER_WORKERS": "{workers}",
            },
        )  # fmt: skip

    alone = [row("ours-1-worker", "ours, 1 worker", 1)] if CORES > 1 else []
    return [row("ours", "ours, a worker a core", CORES), *alone]


def _floor() -> list[Row]:
    return [
        Row(
            "floor", "decode and inference alone, a process a core, no HTTP", "floor", "ours", _LITERT, CORES,
            command=("{python}", "-m", "scripts.benchmark.peers.floor", "{network}/serving", "{workers}"),
        )
    ]  # fmt: skip


def _docker() -> list[Row]:
    return [Row("ours-docker", "ours in Docker, a worker a core", "ours", "ours", _LITERT, CORES, command=())]


def _mlflow() -> list[Row]:
    serve = ("{bin}/mlflow", "models", "serve", "--model-uri", "{form}", "--env-manager", "local",
             "--host", "127.0.0.1", "--port", "{port}", "--workers", "{workers}")  # fmt: skip
    rows = []
    for workers in sorted({1, CORES}):
        plural = "1 worker" if workers == 1 else f"{workers} workers"
        rows += [
            Row(
                f"mlflow-image-{workers}", f"MLflow, image in, {plural}", "mlflow", "mlflow", _SAVED_MODEL,
                workers, command=serve, folder="mlflow", wire="mlflow", judge_engine="saved_model",
                prepare=("{python}", "pack.py", "{form}"),
            ),
            Row(
                f"mlflow-tensor-{workers}", f"MLflow, JSON tensor in, {plural}", "mlflow", "mlflow",
                "Keras predict", workers, command=tuple("{network}/mlflow_keras" if part == "{form}" else part
                                                         for part in serve),
                folder="mlflow", wire="tensor", images=("jpeg-512",),
            ),
        ]  # fmt: skip
    return rows


def _both_engines(make: Callable[[str, str, Kind, str, str], Row], name: str, title: str) -> list[Row]:
    """Make a framework's row with TensorFlow, and one with the project's own engine in it."""
    return [
        make(name, title, "framework", name, "saved_model"),
        make(f"{name}-litert", f"{title}, our engine in it", "same engine", f"{name}-litert", "litert"),
    ]


def _engine(judge_engine: str) -> str:
    return _LITERT if judge_engine == "litert" else _SAVED_MODEL


def _litserve(name: str, title: str, kind: Kind, environment: str, engine: str) -> Row:
    return Row(
        name, title, kind, environment, _engine(engine), CORES,
        command=("{python}", "server.py", "{port}", "{workers}"),
        folder="litserve", wire="json", path="/predict", ping="/health", judge_engine=engine,
    )  # fmt: skip


def _bentoml(name: str, title: str, kind: Kind, environment: str, engine: str) -> Row:
    return Row(
        name, title, kind, environment, _engine(engine), CORES,
        command=("{bin}/bentoml", "serve", "service:Judge", "--host", "127.0.0.1", "--port", "{port}"),
        folder="bentoml", path="/predict", ping="/readyz", judge_engine=engine,
        variables={"BENCH_WORKERS": "{workers}", "BENTOML_HOME": "{scratch}", "BENTOML_DO_NOT_TRACK": "true"},
    )  # fmt: skip


def _mlserver(name: str, title: str, kind: Kind, environment: str, engine: str) -> Row:
    mlflow = engine == "saved_model"
    return Row(
        name, title, kind, environment, _engine(engine), CORES,
        command=("{bin}/mlserver", "start", "{scratch}"),
        folder="mlserver", wire="v2", path="/v2/models/judge/infer", ping="/v2/health/ready",
        judge_engine=engine,
        variables={
            "MLSERVER_HOST": "127.0.0.1", "MLSERVER_HTTP_PORT": "{port}", "MLSERVER_GRPC_PORT": "{port2}",
            "MLSERVER_METRICS_PORT": "{port3}", "MLSERVER_PARALLEL_WORKERS": "{workers}",
        },
        prepare=("{python}", "../mlflow/pack.py", "{form}") if mlflow else None,
        template="mlflow-runtime.json" if mlflow else "own-runtime.json",
    )  # fmt: skip


def _hand_written() -> list[Row]:
    return [
        Row(
            "fastapi", "FastAPI on uvicorn", "hand-written", "fastapi", _SAVED_MODEL, CORES,
            command=("{bin}/uvicorn", "server:app", "--host", "127.0.0.1", "--port", "{port}", "--workers",
                     "{workers}", "--log-level", "warning"),
            folder="fastapi", path="/predict", judge_engine="saved_model",
        ),
        Row(
            "sagemaker-sample", "nginx, gunicorn, Flask (SageMaker's sample shape)", "hand-written",
            "sagemaker", "Keras predict", CORES,
            command=("{python}", "serve.py", "{scratch}", "{workers}"),
            folder="sagemaker", judge_engine="keras", template="nginx.conf", needs=("nginx", "nginx-light"),
        ),
    ]  # fmt: skip


ROWS: dict[str, Row] = {
    row.name: row
    for row in (
        *_floor(),
        *_ours(),
        *_docker(),
        *_mlflow(),
        *_both_engines(_mlserver, "mlserver", "MLServer"),
        *_both_engines(_bentoml, "bentoml", "BentoML"),
        *_both_engines(_litserve, "litserve", "LitServe"),
        *_hand_written(),
    )
}
"""All rows by their names, in the order in which they are measured."""
QUICK = ("floor", "ours", "ours-docker", f"mlflow-image-{CORES}", "mlflow-image-1", "mlserver", "bentoml",
         "litserve")  # fmt: skip
