"""The transform jobs of a run: a few at a time, each of one instance and one shard."""

from __future__ import annotations

import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from scripts.console import DeliveryError, progress
from scripts.delivery.aws import if_exists

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scripts.transform.run import Run

MAX_PAYLOAD_MB = 6  # SageMaker's default, above the container's own limit of 4 MiB
MAX_TOTAL_MB = 100  # of MaxConcurrentTransforms times MaxPayloadInMB: botocore's CreateTransformJob
DEFAULT_TYPE = "ml.c7i.large"
_SIZES = {"medium": 1, "large": 2, "xlarge": 4}
_ENDED = {"Completed", "Failed", "Stopped"}
_ABSENT = ("ResourceNotFound", "ValidationException")
_NAMED = 10  # images without an answer


def cores(instance_type: str) -> int:
    """Return the virtual CPUs of an instance type, by its size as EC2 names them."""
    size = instance_type.rpartition(".")[2]
    return _SIZES.get(size) or 4 * int(size.removesuffix("xlarge"))


@dataclass(kw_only=True)
class Jobs:
    """Has the shards of a run classified.

    `request` has what all jobs have in common, `name` begins their names. `failures` are SageMaker's reasons
    by the jobs' names, `first` names some of the images without an answer.
    """

    client: Any
    run: Run
    request: Mapping[str, Any]
    name: str
    at_once: int
    poll_s: float
    running: dict[int, str] = field(default_factory=dict)  # by shard
    created: list[str] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    first: list[str] = field(default_factory=list)

    def classify(self, shards: int, images: int) -> None:
        """Run a job for each shard's images without an answer, and wait for those that are under way."""
        waiting, adopted, done = deque(range(1, shards + 1)), set(), 0
        while waiting or self.running:
            while waiting and len(self.running) < self.at_once:
                shard = waiting.popleft()
                if name := self._under_way(shard):
                    adopted.add(shard)
                    self.running[shard] = name
                elif not (keys := self.run.unanswered(shard)):
                    done += len(self.run.keys(shard))
                elif not self._begin(shard, keys):  # no more instances until one is free
                    waiting.appendleft(shard)
                    self.at_once = len(self.running)
            began = time.monotonic()
            progress(f"{done + sum(map(self.run.count, self.running)):,} of {images:,} answered")
            time.sleep(max(self.poll_s, 5 * (time.monotonic() - began)) if self.running else 0)
            for shard, name in list(self.running.items()):
                ending = self._ending(name)
                if ending is None:
                    continue
                del self.running[shard]
                if not ending.startswith("Completed"):
                    self.failures[name] = ending
                missing = self.run.settle(shard)
                if missing and shard in adopted:
                    adopted.remove(shard)
                    waiting.append(shard)
                    continue
                done += len(self.run.keys(shard))
                self.first += missing[: _NAMED - len(self.first)]

    def stop(self) -> None:
        """Begin to stop what runs."""
        for name in self.running.values():
            with suppress(ClientError):  # it has ended meanwhile
                self.client.stop_transform_job(TransformJobName=name)

    def _under_way(self, shard: int) -> str | None:
        """Return the name of a shard's last job, of whichever call, if it has not ended."""
        name = (self.run.read(f"jobs/{shard}") or b"").decode()
        return name if name and not self._ending(name) else None

    def _ending(self, name: str) -> str | None:
        """Return how a job has ended; None while it runs."""
        job = if_exists(self.client.describe_transform_job, *_ABSENT, TransformJobName=name)
        if job is None:  # not visible yet, or named by a call that was killed before it created the job
            return None if name in self.created else "was never created"
        status = job["TransformJobStatus"]
        return f"{status}: {job.get('FailureReason', 'no reason')}" if status in _ENDED else None

    def _begin(self, shard: int, keys: Sequence[str]) -> bool:
        """Begin a job; return False where those that run use the quota up."""
        name = f"{self.name}-{shard:05}-{time.time() * 10:.0f}"
        source = {"S3DataType": "ManifestFile", "S3Uri": self.run.manifest(name, keys)}
        output = f"s3://{self.run.bucket}/{self.run.key(f'answers/{shard}')}"
        given = {
            **self.request,
            "TransformJobName": name,
            "TransformInput": {**self.request["TransformInput"], "DataSource": {"S3DataSource": source}},
            "TransformOutput": {**self.request["TransformOutput"], "S3OutputPath": output},
        }
        # Before the job is there: the call that continues this one finds it, and `stop` too.
        self.run.write(f"jobs/{shard}", name.encode())
        self.running[shard] = name
        try:
            self.client.create_transform_job(**given)
        except ClientError as error:
            del self.running[shard]
            if error.response["Error"]["Code"] != "ResourceLimitExceeded":
                raise
            if self.running:
                return False
            kind = given["TransformResources"]["InstanceType"]
            raise DeliveryError(
                f"The account may run no {kind} for transform jobs: {error}\nRequest a higher quota, "
                f'"{kind} for transform job usage", or name another --instance-type; --resume continues.'
            ) from error
        self.created.append(name)
        return True


def request(model: str, *, instance_type: str, key: str | None, tags: Mapping[str, str]) -> dict[str, Any]:
    """Return what the requests for all jobs have in common; each job has one instance."""
    encrypted = {"KmsKeyId": key} if key else {}
    volume = {"VolumeKmsKeyId": key} if key else {}
    return {
        "ModelName": model,
        "BatchStrategy": "SingleRecord",
        "MaxPayloadInMB": MAX_PAYLOAD_MB,
        # One image is predicted on each core while the next arrives.
        "MaxConcurrentTransforms": min(2 * cores(instance_type), MAX_TOTAL_MB // MAX_PAYLOAD_MB),
        "ModelClientConfig": {"InvocationsTimeoutInSeconds": 60, "InvocationsMaxRetries": 3},
        "TransformInput": {
            "ContentType": "application/octet-stream",
            "SplitType": "None",
            "CompressionType": "None",
        },
        "TransformOutput": {"Accept": "application/json", "AssembleWith": "None", **encrypted},
        "TransformResources": {"InstanceType": instance_type, "InstanceCount": 1, **volume},
        "Tags": [{"Key": name, "Value": value} for name, value in tags.items()],
    }
