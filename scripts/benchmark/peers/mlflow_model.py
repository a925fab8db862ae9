"""MLflow around the project's predictor: a pyfunc model, which `python mlflow_model.py FOLDER` saves."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow.pyfunc
from mlflow.models import ModelSignature
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from mlflow.types import ColSpec, DataType, Schema

from container.predictor import Predictor

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped]


class ImageModel(PythonModel):
    """Classifies the column `image`, whose cells are image files."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the network, once per worker."""
        self._predictor = Predictor.load(Path(context.artifacts["model"]))
        self._lock = threading.Lock()  # MLflow predicts in threads, and a predictor takes one image at a time

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002 - MLflow's signature
        model_input: pd.DataFrame,
        params: dict[str, object] | None = None,  # noqa: ARG002 - MLflow's signature
    ) -> list[float]:
        """Return the probability of each image."""
        with self._lock:
            return [self._predictor.predict(image)["probability"] for image in model_input["image"]]


if __name__ == "__main__":
    shutil.rmtree(sys.argv[1], ignore_errors=True)  # MLflow replaces no model
    mlflow.pyfunc.save_model(
        sys.argv[1],
        python_model=__file__,
        artifacts={"model": os.environ["MODEL_DIR"]},
        signature=ModelSignature(
            inputs=Schema([ColSpec(DataType.binary, "image")]), outputs=Schema([ColSpec(DataType.double)])
        ),
        pip_requirements=[],  # the environment exists already
    )
else:
    mlflow.models.set_model(ImageModel())
