"""The options of `scripts/train --on sagemaker`, and the training job that they describe.

A job runs `scripts/train` too and so gets this module, but not `submit`, which needs AWS.
"""

from __future__ import annotations

import argparse
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from infra.paths import ROOT
from scripts.training_job.entry import CHANNELS, channels_of

if TYPE_CHECKING:
    from collections.abc import Mapping

INSTANCE_TYPE = "ml.c7i.2xlarge"
"""Eight virtual CPUs, which the small networks keep busy. UNVERIFIED on AWS, as are its price and quota."""
HOURS = 12
LONGEST_HOURS = 28 * 24  # docs.aws.amazon.com/sagemaker/latest/APIReference/API_StoppingCondition.html
# Of 20, two are the SDK's own (docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateTrainingJob.html).
MOST_CHANNELS = 18
MANAGED_MLFLOW = re.compile(
    r"arn:aws[a-z-]*:sagemaker:[a-z0-9-]+:\d{12}:mlflow-(tracking-server|app)/[\w.-]+"
)
ROLE = re.compile(r"(arn:aws[a-z-]*:iam::\d{12}:role/)?[\w+=,.@/-]+")
OF_THIS_MACHINE = re.compile(r"localhost|.*\.localhost|127\.[\d.]+|0\.0\.0\.0|::1?|host\.docker\.internal")


@dataclass(frozen=True)
class TrainingJob:
    """A training job on SageMaker.

    Attributes
    ----------
    tracking_uri
        URL of the MLflow server that the job logs to, or ARN of SageMaker's managed one.
    role
        Name or ARN of the job's IAM role. It reads the bucket, writes MLflow's artifacts, and needs the
        `sagemaker-mlflow` permissions for managed MLflow.
    arguments
        Options of `scripts/train`, except for those about data and about the job.
    sources
        For each channel a folder to upload, or an ``s3://`` prefix; without data the job generates phantoms.
    bucket
        For source, data and output; None is the SDK's default bucket, which it creates if needed.
    image
        URI of the training image; None is AWS's TensorFlow image of the locked version.
    """

    tracking_uri: str
    role: str | None = None
    arguments: tuple[str, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)
    bucket: str | None = None
    image: str | None = None
    instance_type: str = INSTANCE_TYPE
    hours: int = HOURS

    def problems(self) -> list[str]:
        """Return everything that is wrong with these settings, as far as it is known without AWS."""
        found = [_problem_of_tracking(self.tracking_uri), _problem_of_role(self.role)]
        if not re.fullmatch(r"ml\.[a-z0-9-]+\.[a-z0-9]+", self.instance_type):
            found.append(f"--instance-type {self.instance_type}: a type looks like {INSTANCE_TYPE}.")
        if len(self.sources) > MOST_CHANNELS:
            found.append(f"{len(self.sources)} folders are more than {MOST_CHANNELS}: put sources into one.")
        if not 1 <= self.hours <= LONGEST_HOURS:
            found.append(f"--max-hours {self.hours}: from 1 to {LONGEST_HOURS}.")
        if any("'" in argument for argument in self.arguments):  # the SDK writes them into a shell script
            found.append("An option of a job cannot contain an apostrophe.")
        return [problem for problem in found if problem]


def _problem_of_tracking(uri: str) -> str | None:
    advice = (
        "Set it to a server that the job can reach (https://...), or to the ARN of SageMaker's managed "
        "MLflow (arn:aws:sagemaker:...:mlflow-tracking-server/NAME)."
    )
    if not uri:
        return f"MLFLOW_TRACKING_URI is not set, and a job cannot reach this machine's mlruns/. {advice}"
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
            f"MLFLOW_TRACKING_URI of {host} contains a password, which a job's description would show. "
            "Use SageMaker's managed MLflow, which authenticates the job's role, or a server in your VPC."
        )
    return None


def _problem_of_role(role: str | None) -> str | None:
    if role and ROLE.fullmatch(role):
        return None
    problem = f"--role {role}: this is not a role." if role else "--role is missing."
    return f"{problem} Give the job's IAM role by its name, or as arn:aws:iam::ACCOUNT:role/NAME."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options about where a training runs."""
    group = parser.add_argument_group("where it runs", "a job on SageMaker logs to $MLFLOW_TRACKING_URI")
    group.add_argument("--on", choices=("here", "sagemaker"), help="where to train (default: here)")
    group.add_argument("--role", metavar="ARN", help="IAM role of the job")
    group.add_argument(
        "--instance-type", default=INSTANCE_TYPE, metavar="TYPE", help=f"(default: {INSTANCE_TYPE})"
    )
    group.add_argument("--image", metavar="URI", help="training image (default: AWS's TensorFlow)")
    group.add_argument("--bucket", metavar="NAME", help="bucket for code and images (default: SageMaker's)")
    group.add_argument(
        "--max-hours",
        type=int,
        default=HOURS,
        metavar="N",
        help=f"hours until it is stopped (default: {HOURS})",
    )
    group.add_argument("--no-wait", action="store_true", help="create the job and do not follow it")


def from_options(options: argparse.Namespace, arguments: list[str]) -> TrainingJob:
    """Return the job that a command line describes; data is found as for a local training.

    Of its arguments the job's own `scripts/train` gets those about neither data nor the job.
    """
    own = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    add_arguments(own)
    for channel in CHANNELS:
        own.add_argument(f"--{channel}")
    named = {"data": options.data, "masks": options.masks}
    if not options.data and not options.kaggle:
        default = os.environ.get("TUMOR_DATA") or (ROOT / "data" if (ROOT / "data").is_dir() else None)
        named["data"] = [default]
    # A Path, which argparse may have made of it, has one slash instead of two.
    sources = {
        channel: re.sub("^s3:/+", "s3://", str(folder))
        for option, folders in named.items()
        for channel, folder in zip(channels_of(option), filter(None, folders), strict=False)
    }
    return TrainingJob(
        tracking_uri=os.environ.get("MLFLOW_TRACKING_URI", ""),
        role=options.role,
        arguments=tuple(own.parse_known_args(arguments)[1]),
        sources=sources,
        bucket=options.bucket,
        image=options.image,
        instance_type=options.instance_type,
        hours=options.max_hours,
    )
