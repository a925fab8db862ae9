"""MLflow's way for a model that is more than a network: a pyfunc that decodes, asks and calibrates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import mlflow
import numpy as np
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from scripts.benchmark.peers import judge

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped]
    from numpy.typing import NDArray


class ImageModel(PythonModel):
    """Judges the column `image`, whose cells are image files."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the network once a worker."""
        self._judge = judge.load_engine("saved_model", Path(context.artifacts["network"]))

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002 - MLflow's signature
        model_input: pd.DataFrame,
        params: dict[str, object] | None = None,  # noqa: ARG002 - MLflow's signature
    ) -> NDArray[np.float64]:
        """Return the probability of each row's image."""
        return np.array([self._judge(image)["probability"] for image in model_input["image"]])


mlflow.models.set_model(ImageModel())
