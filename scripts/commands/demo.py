"""Train, promote, `cdk deploy` to the emulator and classify through the gateway, all on this machine."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from infra import config, names, release
from infra.emulator import LocalAws
from infra.local_aws import ACCOUNT, DEFAULT_PORT
from infra.paths import ROOT
from infra.release import record_path
from model.data.dataset import DataError, model_name, resolve
from scripts import console
from scripts.api.gateway import gateway_client
from scripts.api.output import as_members
from scripts.cli import add_data_argument, command_parser
from scripts.client import ProblemError
from scripts.commands import common
from scripts.console import DeliveryError, echo, step
from scripts.delivery import engine, program
from scripts.delivery.aws import connect
from scripts.delivery.cdk import cdk, synthesize
from scripts.delivery.deployment import deploy_stacks
from scripts.delivery.smoke import smoke

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Sequence

    from infra.config import Settings
    from model.data.dataset import Dataset
    from model.release.registry import ModelVersion
    from scripts.client import Client

ENVIRONMENT = "local"
LOGS = ROOT / ".local" / "demos"
"""A folder for each demo, named by its start and its port."""
LOGS_KEPT = 10
_TAIL_LINES = 15
_POLL_S = 0.5
_PROGRESS_BAR = re.compile(r"(\d+)/(\d+) \[[^\]]*?[\d?](?:s/)?([a-z]+)(?:/s)?\]")


def main(arguments: list[str] | None = None) -> None:
    """Run the demo."""
    parser = command_parser("demo", __doc__)
    add_data_argument(parser)
    parser.add_argument("--once", action="store_true", help="stop after the classification")
    parser.add_argument(
        "--port", type=int, default=DEFAULT_PORT, help="port of the emulator (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print url and predictions as the last line")
    parser.add_argument(
        "--engine",
        choices=("auto", "docker", "process"),
        default="auto",
        help="how the endpoint runs: the image under Docker, or the same server as a process (default: auto)",
    )
    options = parser.parse_args(arguments)
    with common.cli_errors(DataError):
        _show(options)


def _show(options: argparse.Namespace) -> None:
    # SIGTERM cleans up as Ctrl-C does; a shell that starts this in the background has Ctrl-C ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    with running(options) as (url, predictions):
        for prediction in predictions:
            echo(f"  {_described(prediction)}")
        print(f"{url}/", flush=True)
        if options.json:
            print(json.dumps({"url": url, "predictions": predictions}), flush=True)
        errors = sum("label" not in prediction for prediction in predictions)  # a wrong class is none
        if options.once and errors:
            raise DeliveryError(f"{errors} of {len(predictions)} predictions are errors.")
        if not options.once:
            echo("Open the URL in a browser and drop an image on it. Ctrl-C stops everything.")
            with contextlib.suppress(KeyboardInterrupt):
                signal.pause()


def _described(prediction: dict[str, object]) -> str:
    if "label" not in prediction:
        return f"{prediction['image']}: error: {prediction.get('detail', prediction)}"
    truth = "YES" if prediction["truth"] else "NO"
    verdict = "as labelled" if prediction["label"] == truth else f"WRONG, it is labelled {truth}"
    return (
        f"{prediction['image']}: {prediction['label']} "
        f"(probability of a tumour {prediction['probability']:.2f}), {verdict}"
    )


@contextlib.contextmanager
def running(options: argparse.Namespace) -> Iterator[tuple[str, list[dict[str, object]]]]:
    """Bring the whole path up and classify; at the end, stop all that was started.

    Yields the gateway's URL, and what it answered to one held-out image of each class.
    Training, local AWS with its registry stack, and the image's build run at the same time.
    """
    settings = config.load(ENVIRONMENT)
    logs = _log_folder(options.port)
    with contextlib.ExitStack() as stack:
        stack.enter_context(console.details_in(logs / "demo.log"))
        echo(f"Logs: {logs.relative_to(ROOT)}/")
        with step("reading the images"):
            dataset = resolve(options.data)
        echo(f"  {dataset.summary()}")
        with step("choosing how to serve"):
            chosen = engine.choose(options.engine)
        echo(f"  {chosen.reason}")
        began = time.monotonic()
        looking = stack.enter_context(ThreadPoolExecutor(max_workers=1)).submit(_version_trained_on, dataset)
        wait_for_training = wait_for_image = None
        if chosen.name == "docker":  # in advance, just as `cdk deploy` builds it
            wait_for_image = stack.enter_context(_program(engine.build_command(), log=logs / "image.log"))
        aws = LocalAws(
            port=options.port,
            engine=chosen.name,
            log=logs / "aws.log",
            region=settings.region,
            enforce_policies=True,
        )
        with step("starting local AWS"):
            stack.enter_context(aws)
        with step("looking for a model of these images", began=began):
            version = looking.result()
        if version is None:
            train = [sys.executable, "-m", "scripts.commands.train", "--quick"]
            train += [f"--data={each}" for each in dataset.folders]
            wait_for_training = stack.enter_context(_program(train, log=logs / "train.log"))
        else:
            echo(f"  reusing {version.name} version {version.version}, trained on exactly these images")
        os.environ["AWS_ENDPOINT_URL"] = aws.endpoint_url
        connect(settings)
        assembly = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        synthesized = _deploy_registry(settings, assembly=assembly, reuse=version is not None)
        if wait_for_training:
            # It takes seconds, during which the training runs.
            importlib.import_module("scripts.delivery.promotion")
            wait_for_training("training a model")
            version = _version_trained_on(dataset)
        if version is None:
            raise DeliveryError(f"The training registered no model of these images; see {logs}/.")
        if wait_for_image:
            wait_for_image("building the serving image")
        _deploy_model(settings, version, assembly=assembly, synthesized=synthesized)
        with contextlib.closing(gateway_client(settings)) as client:
            with step("classifying a held-out image of each class"):
                predictions = _classify(client, dataset, version)
            yield client.url, predictions


def _log_folder(port: int) -> Path:
    """Make this demo's own folder, and delete those of the oldest demos."""
    folder = LOGS / f"{time.strftime('%Y%m%d-%H%M%S')}-{port}"
    folder.mkdir(parents=True, exist_ok=True)
    for old in sorted(LOGS.iterdir())[:-LOGS_KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    return folder


def _version_trained_on(dataset: Dataset) -> ModelVersion | None:
    """Return the champion if it was trained on exactly these images, else the newest version that was."""
    if not (ROOT / "mlruns").exists() and not os.environ.get("MLFLOW_TRACKING_URI"):
        return None
    from model.release import registry  # noqa: PLC0415 - MLflow takes seconds to import

    with _model_errors():
        return registry.trained_on(model_name(dataset), fingerprint=dataset.fingerprint)


def _deploy_registry(settings: Settings, *, assembly: Path, reuse: bool) -> bytes | None:
    """Bootstrap local AWS and deploy the registry stack; return the record that was synthesized, if any."""
    record = record_path(ENVIRONMENT)
    content = None
    if reuse:
        with contextlib.suppress(release.ReleaseError):  # this demo's promotion writes another
            release.load_for(ENVIRONMENT, record, local=True)
            content = record.read_bytes()
    # In an empty folder: here, a bootstrap would also run the application that cdk.json names.
    with step("cdk bootstrap"), tempfile.TemporaryDirectory() as elsewhere:
        place = f"aws://{ACCOUNT}/{settings.region}"
        qualifier = f"--qualifier={settings.bootstrap_qualifier}"
        cdk("bootstrap", place, qualifier, local=True, root=Path(elsewhere))
    with step("deploying the registry stack"):
        synthesize(settings, record=record if content else None, to=assembly)
        deploy_stacks(settings, names.stack(ENVIRONMENT, "registry"), assembly=str(assembly))
    return content


def _deploy_model(
    settings: Settings, version: ModelVersion, *, assembly: Path, synthesized: bytes | None
) -> None:
    """Promote a model version, deploy the other stacks, and smoke-test them."""
    from scripts.delivery.promotion import promote  # noqa: PLC0415 - MLflow takes seconds to import

    record = record_path(ENVIRONMENT)
    with step(f"promoting {version.name} version {version.version}"), _model_errors():
        promote(settings, version, record=record)
    with step("deploying the endpoint and the gateway"):
        if record.read_bytes() != synthesized:
            synthesize(settings, record=record, to=assembly)
        deploy_stacks(settings, "--all", assembly=str(assembly))
    with step("smoke test"):
        smoke(settings, record=record)


@contextlib.contextmanager
def _model_errors() -> Iterator[None]:
    from scripts.commands.model_errors import MODEL_ERRORS  # noqa: PLC0415 - MLflow takes seconds to import

    try:
        yield
    except MODEL_ERRORS as error:
        raise DeliveryError(str(error)) from error


@contextlib.contextmanager
def _program(command: Sequence[str], *, log: Path) -> Iterator[Callable[[str], None]]:
    """Run a program beside this process, its output in a log; leaving the block stops it as Ctrl-C does.

    Yields what waits for its end, as a step of that title which began with it; a failure shows the end of its
    output.
    """

    def output() -> str:
        return log.read_text(errors="replace")

    def wait(title: str) -> None:
        with step(title, began=began):
            while process.poll() is None:
                time.sleep(_POLL_S)
                if bars := _PROGRESS_BAR.findall(output()):
                    done, total, unit = bars[-1]
                    console.progress(f"{done} of {total} {unit}s")
            if process.returncode:
                # A progress bar rewrites its line, which leaves many lines in a file.
                lines = [line for line in output().splitlines() if not _PROGRESS_BAR.search(line)]
                tail = "\n".join(filter(str.strip, lines[-_TAIL_LINES:]))
                raise DeliveryError(f"{title} failed:\n{tail or 'it printed nothing'}")

    began = time.monotonic()
    with (
        log.open("wb") as stream,
        program.running(command, cwd=ROOT, stdout=stream, stderr=stream) as process,
    ):
        yield wait


def _classify(client: Client, dataset: Dataset, version: ModelVersion) -> list[dict[str, object]]:
    """Send one held-out image of each class through the gateway."""
    # By hash: the images may have had other names when the model was trained.
    scans = {scan.sha256: scan for scan in dataset.scans}
    first_of_class = {
        held_out["label"]: scans[held_out["sha256"]] for held_out in reversed(version.holdout())
    }
    predictions: list[dict[str, object]] = []
    for truth, scan in sorted(first_of_class.items(), reverse=True):
        try:
            answer = as_members(client.predict(scan.path.read_bytes()))
        except ProblemError as error:
            answer = as_members(error.problem)
        predictions.append({"image": scan.name, "truth": truth} | answer)
    return predictions
