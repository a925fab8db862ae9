"""Packs the pyfunc model that decodes images: `python pack.py FOLDER`, once, in MLflow's environment."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import mlflow.pyfunc
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema

folder = Path(sys.argv[1])
shutil.rmtree(folder, ignore_errors=True)
mlflow.pyfunc.save_model(
    str(folder),
    python_model=str(Path(__file__).with_name("image_model.py")),
    artifacts={"network": os.environ["BENCH_NETWORK"]},
    signature=ModelSignature(
        inputs=Schema([ColSpec(DataType.binary, "image")]), outputs=Schema([ColSpec(DataType.double)])
    ),
    pip_requirements=[],  # its environment is made beforehand
)
