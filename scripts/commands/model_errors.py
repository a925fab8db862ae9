"""The errors of training and of the model registry that a person can fix."""

from __future__ import annotations

from mlflow.exceptions import MlflowException

from model.data.dataset import DataError
from model.release.export import ExportError, ParityError
from model.release.registry import RegistryError
from model.tracking import TrackingError
from model.training.config import TrainingError

MODEL_ERRORS = (
    DataError,
    ExportError,
    MlflowException,
    ParityError,
    RegistryError,
    TrackingError,
    TrainingError,
)
