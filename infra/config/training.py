"""The SageMaker pipeline that trains: its image, its machine, and where it logs."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from infra.config.base import STRICT, matches
from infra.config.hosting import InstanceType

RUNS, OUTPUTS = "runs", "outputs"  # prefixes in the training bucket: of what a training gets, and writes
_IMAGE = r"[0-9]{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com/[a-z0-9._/-]+(:[\w.-]+|@sha256:[0-9a-f]{64})"
_MLFLOW = r"https?://[^\s@]+|sqlite:////\S+|arn:aws[a-z-]*:sagemaker:[a-z0-9-]+:[0-9]{12}:mlflow-[\w./-]+"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Training:
    """A SageMaker pipeline for `scripts/train` and `scripts/retrain`, in an `image` with Python and pip.

    The job logs to `mlflow`, which it reaches without a password. Its inputs lie in a bucket of their own
    and expire.
    """

    image: Annotated[str, matches(_IMAGE, like="ACCOUNT.dkr.ecr.REGION.amazonaws.com/REPOSITORY:TAG")]
    mlflow: Annotated[str, matches(_MLFLOW, like="https://HOST, or the ARN of SageMaker's MLflow")]
    instance_type: InstanceType = "ml.c7i.2xlarge"  # eight CPUs, which the small networks keep busy
    max_hours: Annotated[int, Field(ge=1, le=672)] = 12  # SageMaker's own limit is 28 days
    expire_days: Annotated[int, Field(ge=1, le=365)]
