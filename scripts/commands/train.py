"""Train an architecture, measure it on the same folds as others, log to MLflow, and register the champion."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from model import tracking
from model.data import kaggle
from model.data.dataset import Dataset, load, resolve
from model.release import registry
from model.training.config import ARCHITECTURES, QUICK, THOROUGH, Recipe
from scripts.cli import add_data_argument, cli_errors, command_parser, folder, whole
from scripts.commands.model_errors import MODEL_ERRORS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from model.evaluation.metrics import Estimates
    from model.release.registry import ModelVersion
    from model.training.train import TrainingResult

MAX_SEED = 2**32 - 1  # the limit of NumPy's and scikit-learn's generators
SHOWN = {
    "roc_auc": "ROC AUC",
    "balanced_accuracy": "balanced accuracy",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "calibration_error": "calibration error",
}


def main(arguments: list[str] | None = None) -> None:
    """Train, and report the results and the next command."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = _parser()
    options = parser.parse_args(arguments)
    if (options.on == "sagemaker") != (options.env is not None):
        parser.error("--on sagemaker trains in the pipeline of --env E: write both, or none")
    if options.env:
        from scripts.training_job import pipeline  # noqa: PLC0415  # a job has no AWS to deploy to

        pipeline.main(options, arguments)
        return
    with cli_errors(*MODEL_ERRORS):
        _train(options)


def _train(options: argparse.Namespace) -> None:
    dataset = read_data(options)
    print(f"Data: {dataset.summary()}", flush=True)
    from model.training import train  # noqa: PLC0415 - TensorFlow, which --help and bad data need not wait for

    try:
        result = train.train(
            dataset,
            _recipe(options),
            related=_related(options.same_patients),
            resume=options.resume,
            echo=lambda line: print(line, flush=True),
        )
        champion = registry.register_and_promote(
            result.experiment,
            run_id=result.run_id,
            model_uri=result.model_uri,
            challenges=options.challenger,
        )
        _report(result, champion)
    except KeyboardInterrupt:
        print(
            "\nscripts/train: stopped. Unfinished runs are marked KILLED and the champion is unchanged. "
            "Finished fits are kept: rerun with --resume to continue.",
            file=sys.stderr,
        )
        sys.exit(130)


def read_data(options: argparse.Namespace) -> Dataset:
    """Read the images that the options name."""
    if not options.kaggle:
        return resolve(options.data, options.masks)
    fetched = kaggle.fetch(options.kaggle)
    return load([*options.data, *fetched], options.masks, names=fetched)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    return _parser().parse_args(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("train", __doc__)
    add_data_argument(parser)
    parser.add_argument(
        "--masks",
        type=folder,
        action="append",
        default=[],
        metavar="DIR",
        help="folder of outlines of the tumours, if they are not in the sources; may be repeated",
    )
    parser.add_argument(
        "--kaggle",
        action="append",
        nargs="?",
        const=kaggle.DEFAULT,
        default=[],
        metavar="NAME",
        help=f"fetch a set from Kaggle (default: {kaggle.DEFAULT}); may be repeated",
    )
    parser.add_argument(
        "--same-patients",
        action="append",
        default=[],
        type=_pair,
        metavar="SOURCE=OTHER",
        help="two sources that may show the same patients: where one is left out, so is the other",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="train the evidence map alone, on a frozen network: a minute with one source",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="continue the last training on this data with this configuration",
    )
    parser.add_argument(
        "--architecture",
        choices=ARCHITECTURES,
        help="(default: efficientnet_lite0; with --quick linear_probe)",
    )
    parser.add_argument("--folds", type=whole(3), help="folds of the cross-validation")
    parser.add_argument("--steps", type=whole(1), help="training steps of every fit")
    parser.add_argument(
        "--seed",
        type=whole(0, MAX_SEED),
        default=0,
        help="seed of split, initial weights and augmentation",
    )
    parser.add_argument(
        "--challenger", action="store_true", help="register the version and leave the champion as it is"
    )
    parser.add_argument(
        "--on", choices=("here", "sagemaker"), help="where to train; sagemaker is the pipeline of --env E"
    )
    parser.add_argument("--env", metavar="E", help="with --on sagemaker, an environment with [training]")
    return parser


def _recipe(options: argparse.Namespace) -> Recipe:
    basis = QUICK if options.quick else THOROUGH
    return replace(
        basis,
        architecture=options.architecture or basis.architecture,
        folds=options.folds or basis.folds,
        steps=options.steps or basis.steps,
        seed=options.seed,
    )


def _pair(text: str) -> tuple[str, str]:
    source, separator, other = text.partition("=")
    if not (source and separator and other):
        raise argparse.ArgumentTypeError(f"must be SOURCE=OTHER, not {text!r}")
    return source, other


def _related(pairs: Sequence[tuple[str, str]]) -> dict[str, frozenset[str]]:
    return {source: frozenset(other for first, other in pairs if first == source) for source, _ in pairs}


def _report(result: TrainingResult, champion: ModelVersion) -> None:
    print("\nOut of fold, with 95 % intervals (bootstrap over groups):\n")
    print("".join([f"{'':36}", *(f"{title:24}" for title in SHOWN.values())]))
    print(_row(result.architecture, result.estimates))
    print(_row("metadata-only forest", result.forest))
    if result.left_out:
        print("\nOn sources left out:\n")
        for name, source in result.left_out.judged.items():
            print(_row(name, source.estimates))
        print(_row("mean", result.left_out.mean))
    print()
    for outcome in champion.gates():
        print(f"  {'✓' if outcome['passed'] else '✗'} gate {outcome['name']}: {outcome['detail']}")
    print(
        f"\nChampion: {champion.name} version {champion.version}, {champion.architecture}, "
        f"ROC AUC {champion.metrics['roc_auc']:.3f}."
        + ("" if champion.run_id == result.run_id else " This training's network did not replace it.")
        + f"\nNext:  scripts/promote --env local --model {champion.name}"
    )
    if not tracking.uri().startswith("http"):
        print(f"       .venv/bin/mlflow ui --backend-store-uri {tracking.uri()}")


def _row(name: str, estimates: Estimates) -> str:
    return "".join([f"{name:36}", *(f"{estimates[each]!s:24}" for each in SHOWN)])


if __name__ == "__main__":  # a training job runs it as a module
    main()
