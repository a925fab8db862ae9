"""The handlers that are compared, each laid out as its Lambda's folder, and a fresh process of any."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scripts.benchmark import environments
from scripts.benchmark.lambda_ import events
from scripts.benchmark.lambda_.endpoint import PREDICTION
from scripts.benchmark.places import PEERS, ROOT, BenchmarkError

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.benchmark.lambda_.probe import Said

ENVIRONMENT = "powertools"
"""All run in it, ours too: what else is installed costs all the same."""
GATEWAY = ROOT / "infra" / "gateway"
PROBE = PEERS.parent / "lambda_" / "probe.py"
MODEL = {"name": "tumor-detector", "version": "3", "sha256": "ab" * 32, "kind": "images", "gates_failed": []}
LIMIT_S = 300  # for one process


@dataclass(frozen=True)
class Handler:
    """One handler.

    Attributes
    ----------
    peer
        The folder of its handler.py among the peers; None for the gateway's own.
    whole
        Whether it keeps the gateway's contract; one that does not is a floor.
    """

    name: str
    title: str
    peer: str | None
    whole: bool = True

    def lay_out(self, folder: Path) -> Path:
        """Lay its files out as they are deployed: as plain text, nothing compiled."""
        laid = folder / self.name
        if self.whole:
            shutil.copytree(GATEWAY, laid, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            laid.mkdir()
        if self.peer:
            shutil.copyfile(PEERS / self.peer / "handler.py", laid / "handler.py")
        return laid


FLOOR = Handler("boto3", "boto3 with its client, and one decode", "boto3", whole=False)
OURS = Handler("ours", "**ours**", None)
HANDLERS = (FLOOR, OURS, Handler("powertools", "the same on Powertools", "powertools"))


def start(folder: Path, event: Path, *, requests: int, endpoint_url: str) -> Said:
    """Run a laid out handler in a fresh process, and prove its answer right.

    Raises
    ------
    BenchmarkError
        If the process fails, or answers anything but the endpoint's prediction.
    """
    # -B: a Lambda's folder is read-only, nothing of it is kept compiled.
    command = [str(environments.program(ENVIRONMENT)), "-B", str(PROBE), str(folder), str(event)]
    done = subprocess.run(
        [*command, str(requests)], env=_variables(endpoint_url), capture_output=True, text=True,
        timeout=LIMIT_S, check=False,
    )  # fmt: skip
    if done.returncode:
        raise BenchmarkError(f"the handler {folder.name} failed:\n{done.stderr[-2000:]}")
    said: Said = json.loads(done.stdout)
    _check(folder.name, said)
    return said


def _check(name: str, said: Said) -> None:
    expected = PREDICTION if name == FLOOR.name else {**PREDICTION, "request_id": events.REQUEST_ID}
    if said["status"] != 200 or json.loads(said["body"]) != expected:  # noqa: PLR2004 - it is HTTP's
        raise BenchmarkError(
            f"the handler {name} answers {said['status']} {said['body'][:500]}: not the endpoint's prediction"
        )


def _variables(endpoint_url: str) -> dict[str, str]:
    """What the stack and Lambda itself would set, and where the endpoint is."""
    return {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "ENDPOINT_NAME": "tumor-detector-bench",
        "AUTH": "none",
        "MODEL": json.dumps(MODEL),
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "000000000000",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": endpoint_url,
    }
