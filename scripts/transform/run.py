"""A run: one INPUT, one model, its transform jobs, and all that is kept of it in the batch bucket.

Below `runs/ID/`: `run.json`; of each shard, one job's share of the images, `shards/N.json` with their keys
and sizes, `jobs/N` with the name of its last job, that job's `manifests/N.json`, and below `answers/N/` an
object for each answer. What has an answer is never sent again. A local INPUT is copied to `images/`.
"""

from __future__ import annotations

import json
import time
from collections import Counter, deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.exceptions import ClientError

from container.problem import MAX_IMAGE_BYTES, Problem, no_bytes, too_many_bytes
from infra import names
from scripts.console import DeliveryError, echo, progress
from scripts.delivery.aws import if_exists

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    Listed = tuple[str, int]  # a key and its size in bytes

DEFAULT_TYPE = "ml.c7i.large"
THREADS = 16  # S3 answers each request in tens of milliseconds
MAX_PAYLOAD_MB = 6  # SageMaker's default, above the container's own limit of 4 MiB
MAX_TOTAL_MB = 100  # of MaxConcurrentTransforms times MaxPayloadInMB: botocore's CreateTransformJob
GONE = Problem(
    HTTPStatus.GONE, "The object was deleted before it was read: restore it and begin another run."
)
_SUFFIX = ".out"  # SageMaker's, of an answer's key
_ABSENT = ("ResourceNotFound", "ValidationException")
_AHEAD = 1000  # calls whose results are not yet taken: bounds memory
_CORES = {"medium": 1, "large": 2, "xlarge": 4}
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Prefix:
    """The objects of a bucket whose keys begin with `prefix`, which is empty or ends with a slash."""

    bucket: str
    prefix: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}"

    def list(self, s3: Any, *, after: str = "") -> Iterator[Listed]:
        """Yield key and size of each object after a key, in their order, without marks of folders."""
        reader = s3.get_paginator("list_objects_v2")
        for page in reader.paginate(Bucket=self.bucket, Prefix=self.prefix, StartAfter=after):
            for each in page.get("Contents", []):
                if not each["Key"].endswith("/"):
                    yield each["Key"], each["Size"]


@dataclass(kw_only=True)
class Run:
    """A run's part of the batch bucket, its images, there or elsewhere, and its jobs of one instance each.

    `name` begins the names of jobs, and `key` encrypts what they keep. `running` has their names by shard,
    `failures` SageMaker's reasons by name.
    """

    s3: Any
    sagemaker: Any
    bucket: str
    id: str
    images: Prefix
    model: str
    name: str
    instance_type: str
    key: str | None
    tags: Mapping[str, str]
    poll_s: float
    running: dict[int, str] = field(default_factory=dict)
    created: list[str] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """The prefix of the run's own objects."""
        return f"{names.BATCH_RUNS}/{self.id}/"

    def read(self, name: str) -> bytes | None:
        """Return the content of one of the run's objects; None where there is none."""
        found = if_exists(self.s3.get_object, "NoSuchKey", Bucket=self.bucket, Key=self.path + name)
        return found["Body"].read() if found else None

    def write(self, name: str, content: bytes) -> None:
        """Put one of the run's objects."""
        self.s3.put_object(Bucket=self.bucket, Key=self.path + name, Body=content)

    def plan(self, listed: Iterable[Listed], *, per_job: int) -> tuple[int, int]:
        """Divide images into shards, and return the numbers of both."""
        images = shard = 0
        for shard, some in enumerate(chunks(listed, per_job), start=1):
            images += len(some)
            self.write(f"shards/{shard}.json", json.dumps(some).encode())
        return images, shard

    def classify(self, shards: Iterable[int], images: int, *, at_once: int) -> None:
        """Run a job for each shard's images without an answer, and wait for those that are under way."""
        waiting, answered = deque(shards), Counter[int]()
        while waiting or self.running:
            while waiting and len(self.running) < at_once:
                if not self._begin(waiting[0]):  # no more instances until one is free
                    at_once = len(self.running)
                    break
                shard = waiting.popleft()
                answered[shard] = self._count(shard)
            began = time.monotonic()
            for shard, name in list(self.running.items()):
                ending = self._ending(name)
                answered[shard] = self._count(shard)
                if ending is None:
                    continue
                del self.running[shard]
                if not ending.startswith("Completed"):
                    self.failures[name] = ending
                if name not in self.created:  # an earlier call's: what it left is sent again
                    waiting.append(shard)
            progress(f"{answered.total():,} of {images:,} answered")
            if self.running:
                time.sleep(max(self.poll_s, 5 * (time.monotonic() - began)))

    def stop(self) -> None:
        """Begin to stop the jobs."""
        for name in self.running.values():
            try:
                self.sagemaker.stop_transform_job(TransformJobName=name)
            except ClientError as error:
                if error.response["Error"]["Code"] not in _ABSENT:  # it has not ended meanwhile
                    echo(f"  {name} could not be stopped, and continues: {error}")

    def waiting(self, shard: int) -> list[str]:
        """Return the keys of those of a shard's images that a job is still to answer.

        Others need none: those that are gone, and those that the container would refuse by their size alone,
        which might fail a job, as an empty body or beyond SageMaker's own limit.
        """
        answered = set(self._answered(shard))
        sent = [
            key for key, size in self._shard(shard) if 0 < size <= MAX_IMAGE_BYTES and key not in answered
        ]
        if not sent:
            return []
        listed = self.images.list(self.s3, after=sent[0][:-1])
        # Both are in the order of code points, as UTF-8's bytes are.
        there = {key for key, _ in takewhile(lambda each: each[0] <= sent[-1], listed)}
        return [key for key in sent if key in there]

    def rows(self, shard: int, *, strip: str = "") -> Iterator[Mapping[str, Any]]:
        """Yield key and answer or problem of each image that no job is to answer any more.

        They are in the order of the keys, which are shown without `strip`.
        """
        waiting = set(self.waiting(shard))
        images = [each for each in self._shard(shard) if each[0] not in waiting]
        answers = mapped(lambda image: self._answer(shard, *image), images)
        for (key, _), answer in zip(images, answers, strict=True):
            document = json.loads(answer)
            found = document if "label" in document else {"problem": document}
            yield {"key": key.removeprefix(strip), **found}

    def _answer(self, shard: int, key: str, size: int) -> bytes:
        if not 0 < size <= MAX_IMAGE_BYTES:
            return (too_many_bytes() if size else no_bytes()).body()
        return self.read(f"answers/{shard}/{key}{_SUFFIX}") or GONE.body()

    def _shard(self, shard: int) -> list[Listed]:
        """Return keys and sizes of a shard's images in the order of the keys."""
        found: list[Listed] = json.loads(self.read(f"shards/{shard}.json") or b"[]")
        return found

    def _answered(self, shard: int) -> Iterator[str]:
        """Yield the keys of those of a shard's images that have an answer."""
        answers = Prefix(self.bucket, f"{self.path}answers/{shard}/")
        for key, _ in answers.list(self.s3):
            yield key.removeprefix(answers.prefix).removesuffix(_SUFFIX)

    def _count(self, shard: int) -> int:
        return sum(1 for _ in self._answered(shard))

    def _ending(self, name: str) -> str | None:
        """Return how a job has ended; None while it runs."""
        job = if_exists(self.sagemaker.describe_transform_job, *_ABSENT, TransformJobName=name)
        if job is None:  # not visible yet, or named by a call that was killed before it created the job
            return None if name in self.created else "was never created"
        status = job["TransformJobStatus"]
        running = status in ("InProgress", "Stopping")
        return None if running else f"{status}: {job.get('FailureReason', 'no reason')}"

    def _begin(self, shard: int) -> bool:
        """Have a shard classified, if that is not under way; return False where no instance is free."""
        earlier = (self.read(f"jobs/{shard}") or b"").decode()
        if earlier and not self._ending(earlier):
            self.running[shard] = earlier
            return True
        if not (keys := self.waiting(shard)):
            return True
        # The prefix is the bucket's root: an answer's name is then its image's key, whether SageMaker takes
        # it relative to the prefix or whole (**unverified on AWS**, as is that keys are not escaped).
        listed = [{"prefix": f"s3://{self.images.bucket}/"}, *keys]
        self.write(f"manifests/{shard}.json", json.dumps(listed).encode())
        name = f"{self.name}-{shard:05}-{time.time() * 10:.0f}"
        # Before the job is there: the call that continues this one finds it, and `stop` too.
        self.write(f"jobs/{shard}", name.encode())
        self.running[shard] = name
        try:
            self.sagemaker.create_transform_job(**self._request(name, shard))
        except ClientError as error:
            del self.running[shard]
            if error.response["Error"]["Code"] != "ResourceLimitExceeded":
                raise
            if self.running:
                return False
            kind = self.instance_type
            raise DeliveryError(
                f"The account may run no {kind} for transform jobs: {error}\nRequest a higher quota, "
                f'"{kind} for transform job usage", or name another --instance-type; --resume continues.'
            ) from error
        self.created.append(name)
        return True

    def _request(self, name: str, shard: int) -> dict[str, Any]:
        ours = f"s3://{self.bucket}/{self.path}"
        # The form of the manifest: S3Uri of botocore's S3DataSource
        source = {"S3DataType": "ManifestFile", "S3Uri": f"{ours}manifests/{shard}.json"}
        output = {"S3OutputPath": f"{ours}answers/{shard}", "Accept": "application/json"}
        instance: dict[str, Any] = {"InstanceType": self.instance_type, "InstanceCount": 1}
        if self.key:
            output["KmsKeyId"] = instance["VolumeKmsKeyId"] = self.key
        return {
            "TransformJobName": name,
            "ModelName": self.model,
            "BatchStrategy": "SingleRecord",
            "MaxPayloadInMB": MAX_PAYLOAD_MB,
            # One image is predicted on each core while the next arrives.
            "MaxConcurrentTransforms": min(2 * cores(self.instance_type), MAX_TOTAL_MB // MAX_PAYLOAD_MB),
            "ModelClientConfig": {"InvocationsTimeoutInSeconds": 60, "InvocationsMaxRetries": 3},
            "TransformInput": {
                "DataSource": {"S3DataSource": source},
                "ContentType": "application/octet-stream",
                "SplitType": "None",
            },
            "TransformOutput": output,
            "TransformResources": instance,
            "Tags": [{"Key": key, "Value": value} for key, value in self.tags.items()],
        }


def cores(instance_type: str) -> int:
    """Return the virtual CPUs of an instance type, by its size as EC2 names them."""
    size = instance_type.rpartition(".")[2]
    return _CORES.get(size) or 4 * int(size.removesuffix("xlarge"))


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield lists of at most `size` items."""
    remaining = iter(items)
    while some := list(islice(remaining, size)):
        yield some


def mapped(function: Callable[[T], R], items: Iterable[T], *, ahead: int = _AHEAD) -> Iterator[R]:
    """Call a function for each item on threads, and yield the results in order.

    At most `ahead` calls are under way, or done and their results not yet taken.
    """
    pool, begun = ThreadPoolExecutor(THREADS), deque[Future[R]]()
    try:
        for item in items:
            begun.append(pool.submit(function, item))
            if len(begun) == ahead:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:  # Ctrl-C included
        pool.shutdown(wait=False, cancel_futures=True)
