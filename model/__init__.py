"""From a folder of images to a champion in the MLflow registry and its artifact."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# MLflow reads these while it is imported: no web addresses, notices on git, telemetry or bars of its own.
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
