"""A run: one INPUT, one model, and all that is kept of it in the environment's batch bucket.

Below `runs/ID/`: `run.json`; of each shard, one job's share of the images, `shards/N.json` with their keys,
`jobs/N` with the name of its last job, that job's manifest `manifests/JOB.json`, and below `answers/N/` an
object for each answer. What has an answer is never sent again. A local INPUT is copied to `images/`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from container.problem import MAX_IMAGE_BYTES, Problem, no_bytes, too_many_bytes
from infra import names
from scripts.delivery.aws import if_exists
from scripts.transform.place import Prefix, chunks, mapped

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from scripts.transform.place import Listed

GONE = Problem(
    HTTPStatus.GONE, "The object was deleted before it was read: restore it and begin another run."
)
_SUFFIX = ".out"  # SageMaker's, of an answer's key


@dataclass(frozen=True)
class Run:
    """A run's part of the batch bucket, and the images, which are there or elsewhere."""

    s3: Any
    bucket: str
    id: str
    images: Prefix

    def key(self, name: str) -> str:
        """Return the key of one of the run's own objects."""
        return f"{names.BATCH_RUNS}/{self.id}/{name}"

    def read(self, name: str) -> bytes | None:
        """Return the content of one of the run's objects; None where there is none."""
        found = if_exists(self.s3.get_object, "NoSuchKey", Bucket=self.bucket, Key=self.key(name))
        return found["Body"].read() if found else None

    def write(self, name: str, content: bytes) -> None:
        """Put one of the run's objects."""
        self.s3.put_object(Bucket=self.bucket, Key=self.key(name), Body=content)

    def plan(self, listed: Iterable[Listed], *, per_job: int) -> tuple[int, int]:
        """Divide images into shards, and return the numbers of both.

        What the container would refuse by its size alone is answered here: SageMaker's own limit, or an empty
        body, might fail a job.
        """
        images = shard = 0
        for shard, some in enumerate(chunks(listed, per_job), start=1):
            images += len(some)
            self.write(f"shards/{shard}.json", json.dumps([key for key, _ in some]).encode())
            odd = [(key, size) for key, size in some if not 0 < size <= MAX_IMAGE_BYTES]
            self._answer(shard, ((key, too_many_bytes() if size else no_bytes()) for key, size in odd))
        return images, shard

    def keys(self, shard: int) -> list[str]:
        """Return the keys of a shard's images in their order."""
        found: list[str] = json.loads(self.read(f"shards/{shard}.json") or b"[]")
        return found

    def answers(self, shard: int) -> set[str]:
        """Return the keys of those of a shard's images that have an answer."""
        prefix = self.key(f"answers/{shard}/")
        listed = Prefix(self.bucket, prefix).list(self.s3)
        return {key.removeprefix(prefix).removesuffix(_SUFFIX) for key, _ in listed}

    def count(self, shard: int) -> int:
        """Return how many of a shard's images have an answer."""
        return sum(1 for _ in Prefix(self.bucket, self.key(f"answers/{shard}/")).list(self.s3))

    def answer(self, shard: int, key: str) -> bytes | None:
        """Return the answer to an image."""
        return self.read(f"answers/{shard}/{key}{_SUFFIX}")

    def unanswered(self, shard: int) -> list[str]:
        """Return the keys of those of a shard's images that have no answer."""
        answered = self.answers(shard)
        return [key for key in self.keys(shard) if key not in answered]

    def settle(self, shard: int) -> list[str]:
        """Answer what is gone, and return the keys of the other images that have no answer."""
        missing = self.unanswered(shard)
        if not missing:
            return []
        there = set()
        for key, _ in self.images.list(self.s3, after=missing[0][:-1]):
            if key > missing[-1]:  # both by code points, which sort as UTF-8's bytes do
                break
            there.add(key)
        self._answer(shard, ((key, GONE) for key in missing if key not in there))
        return [key for key in missing if key in there]

    def manifest(self, job: str, keys: Sequence[str]) -> str:
        """Write a job's manifest and return its URL. The form: S3Uri of botocore's S3DataSource.

        The prefix is the bucket's root: an answer's name is then its image's key, whether SageMaker takes it
        relative to the prefix or whole (**unverified on AWS**, as is that keys are not escaped).
        """
        listed = [{"prefix": f"s3://{self.images.bucket}/"}, *keys]
        self.write(f"manifests/{job}.json", json.dumps(listed).encode())
        return f"s3://{self.bucket}/{self.key(f'manifests/{job}.json')}"

    def _answer(self, shard: int, problems: Iterable[tuple[str, Problem]]) -> None:
        for _ in mapped(
            lambda each: self.write(f"answers/{shard}/{each[0]}{_SUFFIX}", each[1].body()), problems
        ):
            pass
