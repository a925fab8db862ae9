"""The whole path on one laptop: data to a classified image behind a gateway URL."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from infra import config
from infra.local import LocalAws
from infra.release import record_path
from model import data, registry
from scripts.delivery import engine
from scripts.delivery.aws import reach
from scripts.delivery.cdk import cdk
from scripts.delivery.console import DeliveryError, say, step
from scripts.delivery.deployment import deploy, deploy_registry
from scripts.delivery.gateway import Gateway, gateway_of
from scripts.delivery.promotion import promote

if TYPE_CHECKING:
    from collections.abc import Iterator

    from model.data import Dataset
    from model.registry import Champion

ENVIRONMENT = "local"
ROOT = Path(__file__).resolve().parents[2]
LOG = ROOT / ".local" / "aws.log"


@dataclass(frozen=True)
class Demo:
    """What was brought up, and what it said of one held-out image of each class."""

    url: str
    predictions: list[dict[str, object]]

    @property
    def errors(self) -> list[dict[str, object]]:
        """The answers that are problems; a wrong class is none of them."""
        return [prediction for prediction in self.predictions if "label" not in prediction]


@contextlib.contextmanager
def running(*, folder: Path | None, port: int, engine_wanted: str) -> Iterator[Demo]:
    """Bring the whole path up and classify; on leaving, stop all that was started.

    Parameters
    ----------
    folder
        Images in ``yes/`` and ``no/``; without it `model.data.resolve` looks in the usual places.
    port
        Of the laptop's AWS, on 127.0.0.1.
    engine_wanted
        ``"docker"``, ``"process"``, or ``"auto"``: Docker where it can really build the image.

    Raises
    ------
    DeliveryError, DataError, LocalAwsError, ...
        Each with what failed and what to do.
    """
    settings = config.load(ENVIRONMENT)
    record = record_path(ENVIRONMENT)
    dataset = data.resolve(folder)
    say(f"Data: {dataset.summary()}")
    chosen = engine.choose(engine_wanted)
    say(f"Serving: {chosen.reason}")
    # Before the training, which takes a minute: a port that is taken should be said at once.
    with LocalAws(
        port=port, engine=chosen.name, log=LOG, region=settings.region, enforce_policies=True
    ) as aws:
        say(f"The laptop's AWS answers at {aws.endpoint_url} (its log: {LOG.relative_to(ROOT)})")
        champion = _champion(dataset)
        os.environ["AWS_ENDPOINT_URL"] = aws.endpoint_url
        reach(settings)
        with step("cdk bootstrap"):
            cdk("bootstrap", f"aws://{aws.account}/{settings.region}")
        with step("deploying the registry stack, which the artifact goes into"):
            deploy_registry(settings)
        with step(f"promoting {champion.name} version {champion.version}"):
            promote(settings, champion, record=record)
        deploy(settings, record=record)
        gateway = gateway_of(settings)
        yield Demo(url=gateway.url, predictions=_classify(gateway, dataset, champion))


def _champion(dataset: Dataset) -> Champion:
    """Reuse the champion that was trained on exactly these images, or train one."""
    name = data.model_name(dataset)
    try:
        champion = registry.champion(name)
        if champion.dataset_fingerprint == dataset.fingerprint:
            say(f"Model: {name} version {champion.version} was trained on these images; reusing it.")
            return champion
    except registry.RegistryError:
        pass
    with step("training (scripts/train --quick)"):
        # A process of its own gives TensorFlow's memory back before anything is served.
        _run(sys.executable, str(ROOT / "scripts" / "train"), "--quick", "--data", str(dataset.folder))
    return registry.champion(name)


def _run(*command: str) -> None:
    """Run a command to its end; Ctrl-C is handed to it once, and it may clean up."""
    with subprocess.Popen(command, cwd=ROOT, start_new_session=True) as process:
        try:
            status = process.wait()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            process.wait()
            raise
    if status:
        raise DeliveryError("Training failed; its own message above says why.")


def _classify(gateway: Gateway, dataset: Dataset, champion: Champion) -> list[dict[str, object]]:
    """Send one image of each class that no training saw through the gateway."""
    # By hash: the same images may have had other names when they were trained on.
    scans = {scan.sha256: scan for scan in dataset.scans}
    first_of_class = {
        held_out["label"]: scans[held_out["sha256"]] for held_out in reversed(champion.holdout())
    }
    predictions: list[dict[str, object]] = []
    for truth, scan in sorted(first_of_class.items(), reverse=True):
        answer = gateway.predict(scan.path.read_bytes(), media_type="application/octet-stream")
        predictions.append({"image": scan.name, "truth": truth} | answer.body)
    return predictions


def wait_for_stop() -> None:
    """Return on Ctrl-C or SIGTERM, the ways in which a demo that stays up is meant to end."""
    with contextlib.suppress(KeyboardInterrupt):
        threading.Event().wait()
