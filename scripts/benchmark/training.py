"""Trains the network of the benchmark: `python -m scripts.benchmark.training`, a process of its own.

The architecture and the size are those of the project's thorough recipe. What a network says does
not change how long it takes, so the folds are few, and the images are phantoms.
"""

from __future__ import annotations

import os
from dataclasses import replace

import mlflow

from model import data, phantom, recipe, tracking
from scripts.benchmark.places import HOME

STORE = HOME / "mlruns"
IMAGES, SEED = 96, 2_000_000
"""Other phantoms than those that the demo trains on."""
RECIPE = replace(
    recipe.THOROUGH,
    architectures=("efficientnet_lite0",),
    folds=3,
    repeats=1,
    views=2,
    per_kind=16,
    strengths=(0.01,),
)


def main() -> None:
    """Train, unless that is done, and write the forms of the network that servers and engines load."""
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{STORE / 'mlflow.db'}"
    STORE.mkdir(parents=True, exist_ok=True)
    tracking.connect()
    folder = HOME / "phantoms"
    if not (folder / phantom.MARKER).is_file():
        phantom.write_folder(folder, count=IMAGES, seed=SEED)
    dataset = data.load(folder)
    name = data.model_name(dataset)
    if mlflow.get_experiment_by_name(name) is None:  # else its artifacts would go where MLflow is run
        mlflow.create_experiment(name, artifact_location=(STORE / "artifacts").as_uri())

    # With TensorFlow, only now that the store is known to work.
    from model import train  # noqa: PLC0415
    from scripts.benchmark import forms  # noqa: PLC0415

    result = train.train(dataset, RECIPE)
    forms.write(run_id=result.run_id, model_uri=result.model_uri)


if __name__ == "__main__":
    main()
