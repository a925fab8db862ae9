"""`scripts/train --on sagemaker`: its options, and the training that they describe.

This much is needed wherever `scripts/train` runs, in the job itself too; what speaks to AWS is in
`training_submit` and imported only there.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from scripts.delivery.console import DeliveryError, say
from scripts.delivery.training_entry import CHANNELS, as_hyperparameters

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parents[2]
BASE_NAME = "tumor-detector"
INSTANCE_TYPE = "ml.c7i.2xlarge"
"""Eight virtual CPUs, which our small networks keep busy. Unverified on AWS, as are its price and quota."""
HOURS = 12
LONGEST_HOURS = 28 * 24  # docs.aws.amazon.com/sagemaker/latest/APIReference/API_StoppingCondition.html
TIMESTAMP = len("-20250101000000")  # which the SDK puts after a job's base name
LONGEST_NAME = 63 - TIMESTAMP
MANAGED_MLFLOW = re.compile(
    r"arn:aws[a-z-]*:sagemaker:[a-z0-9-]+:\d{12}:mlflow-(tracking-server|app)/[\w.-]+"
)
ROLE = re.compile(r"(arn:aws[a-z-]*:iam::\d{12}:role/)?[\w+=,.@/-]+")
OF_THIS_MACHINE = re.compile(r"localhost|.*\.localhost|127\.[\d.]+|0\.0\.0\.0|::1?|host\.docker\.internal")


@dataclass(frozen=True)
class TrainingJob:
    """A training on SageMaker, as asked for.

    Attributes
    ----------
    tracking_uri
        The MLflow that the job logs to: a server's address, or the ARN of SageMaker's managed one.
    role
        Name or ARN of the IAM role that the job runs as. It reads the bucket, writes MLflow's artifacts, and
        for the managed MLflow needs its `sagemaker-mlflow` permissions.
    arguments
        Options of `scripts/train` for the training itself: none that says where it runs or on which data.
    sources
        For each channel the folder to upload, or an ``s3://`` prefix; without data the job draws phantoms.
    bucket
        For source, data and output; None is the SDK's default bucket, which it makes where there is none.
    image
        URI of the training image; None is AWS's TensorFlow image of the version that requirements.lock names.
    """

    tracking_uri: str
    role: str | None = None
    arguments: tuple[str, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)
    name: str = BASE_NAME
    bucket: str | None = None
    image: str | None = None
    instance_type: str = INSTANCE_TYPE
    instance_count: int = 1
    hours: int = HOURS

    @property
    def managed_mlflow(self) -> bool:
        """Whether runs go to SageMaker's managed MLflow."""
        return MANAGED_MLFLOW.fullmatch(self.tracking_uri) is not None

    def problems(self) -> list[str]:
        """Say all that is wrong with these settings themselves, without asking AWS."""
        found = [_problem_of_tracking(self.tracking_uri), _problem_of_role(self.role)]
        if self.instance_count != 1:
            found.append(
                f"--instance-count {self.instance_count}: only 1 makes sense. The training is one process: "
                "a further machine would train the same networks again and log them twice. For more speed "
                "take a larger --instance-type."
            )
        if not re.fullmatch(r"ml\.[a-z0-9-]+\.[a-z0-9]+", self.instance_type):
            found.append(f"--instance-type {self.instance_type}: a type looks like {INSTANCE_TYPE}.")
        if not re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9])*", self.name) or len(self.name) > LONGEST_NAME:
            found.append(
                f"--job-name {self.name}: letters, digits and hyphens between them, at most {LONGEST_NAME}."
            )
        if not 1 <= self.hours <= LONGEST_HOURS:
            found.append(f"--max-hours {self.hours}: from 1 to {LONGEST_HOURS}.")
        try:
            as_hyperparameters(self.arguments)
        except ValueError as error:
            found.append(f"{error}.")
        if any(
            "'" in argument for argument in self.arguments
        ):  # the SDK's driver writes them into a shell script
            found.append("An apostrophe in an option's value cannot be handed to a job.")
        return [problem for problem in found if problem]


def _problem_of_tracking(uri: str) -> str | None:
    advice = (
        "Set it to a server that the job can reach (https://...), or to the ARN of SageMaker's managed "
        "MLflow (arn:aws:sagemaker:...:mlflow-tracking-server/NAME): what is logged elsewhere is lost."
    )
    if not uri:
        return (
            f"MLFLOW_TRACKING_URI is not set, and mlruns/ of this machine is out of a job's reach. {advice}"
        )
    if MANAGED_MLFLOW.fullmatch(uri):
        return None
    try:
        parts = urlsplit(uri)
        host = parts.hostname or ""
    except ValueError as error:
        return f"MLFLOW_TRACKING_URI {uri}: {error}. {advice}"
    if parts.scheme not in {"http", "https"} or not host or OF_THIS_MACHINE.fullmatch(host):
        return f"MLFLOW_TRACKING_URI {uri}: only this machine can reach it. {advice}"
    if parts.password is not None:
        return (
            f"MLFLOW_TRACKING_URI of {host} holds a password, which all who may describe the job would see. "
            "Use SageMaker's managed MLflow, whose requests the job's role signs, or a server in your VPC."
        )
    return None


def _problem_of_role(role: str | None) -> str | None:
    if role and ROLE.fullmatch(role):
        return None
    said = f"--role {role}: this is no role." if role else "--role is missing."
    return f"{said} Name the IAM role that the job shall run as: its name, or arn:aws:iam::ACCOUNT:role/NAME."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what says where a training runs; ``--data`` and ``--pretrain`` are `scripts/train`'s own."""
    group = parser.add_argument_group("where it runs", "a job on SageMaker logs to $MLFLOW_TRACKING_URI")
    group.add_argument("--on", choices=("here", "sagemaker"), default="here", help="default: here")
    group.add_argument("--role", metavar="ARN", help="IAM role of the job")
    group.add_argument(
        "--instance-type", default=INSTANCE_TYPE, metavar="TYPE", help=f"default: {INSTANCE_TYPE}"
    )
    group.add_argument(
        "--instance-count", type=int, default=1, metavar="N", help="1: one training, one machine"
    )
    group.add_argument("--image", metavar="URI", help="default: AWS's TensorFlow training image")
    group.add_argument("--bucket", metavar="NAME", help="for code and images (default: SageMaker's own)")
    group.add_argument("--job-name", default=BASE_NAME, metavar="NAME", help="followed by the time")
    group.add_argument(
        "--max-hours", type=int, default=HOURS, metavar="N", help=f"then it is stopped: {HOURS}"
    )
    group.add_argument("--no-wait", action="store_true", help="submit the job and do not follow it")


def passed_on(arguments: list[str]) -> list[str]:
    """Leave out of a command line what says where to run and on which data: the rest is the job's own."""
    own = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    add_arguments(own)
    for channel in CHANNELS:
        own.add_argument(f"--{channel}")
    return own.parse_known_args(arguments)[1]


def from_options(options: argparse.Namespace, passed_on: list[str]) -> TrainingJob:
    """Make the job that a command line asks for; data is found as it is for a training here."""
    named = {channel: getattr(options, channel, None) for channel in CHANNELS}
    if not named["data"] and not getattr(options, "kaggle", False):
        named["data"] = os.environ.get("TUMOR_DATA") or (ROOT / "data" if (ROOT / "data").is_dir() else None)
    # argparse may have made a Path of it, which makes one slash of two.
    sources = {channel: re.sub("^s3:/+", "s3://", str(given)) for channel, given in named.items() if given}
    return TrainingJob(
        tracking_uri=os.environ.get("MLFLOW_TRACKING_URI", ""),
        role=options.role,
        arguments=tuple(passed_on),
        sources=sources,
        name=options.job_name,
        bucket=options.bucket,
        image=options.image,
        instance_type=options.instance_type,
        instance_count=options.instance_count,
        hours=options.max_hours,
    )


def run(options: argparse.Namespace, passed_on: list[str]) -> None:
    """Submit the training that the options describe and, unless told otherwise, follow it to its end.

    Parameters
    ----------
    options
        What `add_arguments` added, and ``data``, ``pretrain`` and ``kaggle`` where `scripts/train` has them.
    passed_on
        Options of `scripts/train` for the job itself, as `passed_on` gives them.

    Raises
    ------
    SystemExit
        1 after a failure, with its reason; 130 after Ctrl-C, with how to follow or stop what goes on.
    """
    # Here, for it takes seconds, and the job has neither the SDK nor a use for it.
    from scripts.delivery import training_submit, training_watch  # noqa: PLC0415

    name = None
    try:
        name = training_submit.submit(from_options(options, passed_on))
        if options.no_wait:
            say(training_watch.hint(name))
        else:
            training_watch.follow(name, session=training_submit.aws_session())
            say(
                f"✓ training job {name}: its runs and the champion are in {os.environ['MLFLOW_TRACKING_URI']}"
            )
    except DeliveryError as error:
        sys.exit(f"scripts/train: {error}")
    except training_submit.AWS_ERRORS as error:
        on = f"\nJob {name} goes on without this command.\n{training_watch.hint(name)}" if name else ""
        sys.exit(f"scripts/train: AWS cannot be asked: {error}{on}")
    except KeyboardInterrupt:
        on = f"; job {name} goes on.\n{training_watch.hint(name)}" if name else " before a job was made."
        print(f"\nscripts/train: stopped{on}", file=sys.stderr)
        sys.exit(130)
