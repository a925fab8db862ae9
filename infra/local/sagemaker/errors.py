"""SageMaker's own errors, as its APIs answer them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class SageMakerError(Exception):
    """One of SageMaker's error answers.

    Parameters
    ----------
    code
        Name of the error as SDKs raise it, for example ``ValidationException``.
    message
        What is wrong, in AWS's words where they are known.
    status
        HTTP status of the answer.
    members
        Further members of the answer's JSON, for example ``OriginalStatusCode``.
    """

    def __init__(
        self, code: str, message: str, *, status: int = 400, members: Mapping[str, object] | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.members = dict(members or {})


def invalid(message: str) -> SageMakerError:
    """Return the control plane's answer to a request that it refuses."""
    return SageMakerError("ValidationException", message)
