"""What SageMaker asks of other services, in the name of a model's execution role."""

from __future__ import annotations

from typing import IO, Protocol


class AccessDenied(Exception):  # noqa: N818 - AWS's own name for it
    """A role may not do what bringing its model up takes; the message says what and why."""


class ObjectStore(Protocol):
    """The two questions that SageMaker asks of S3. Both raise `AccessDenied` where the role may not ask."""

    def exists(self, bucket: str, key: str) -> bool:
        """Whether there is such an object."""

    def fetch(self, bucket: str, key: str, target: IO[bytes]) -> None:
        """Write an object's bytes into a file."""


class ImageRegistry(Protocol):
    """The one question that SageMaker asks of ECR."""

    def pull_name(self, image: str) -> str | None:
        """Name, by digest, under which Docker can pull this image; None if ECR does not hold it.

        Raises
        ------
        AccessDenied
            If the role may not pull it.
        """


class Cloud(Protocol):
    """The other services, as an execution role reaches them."""

    def store(self, role: str) -> ObjectStore:
        """Return S3 as the role of this ARN sees it, or raise `AccessDenied`."""

    def registry(self, role: str) -> ImageRegistry:
        """Return ECR as the role of this ARN sees it, or raise `AccessDenied`."""
