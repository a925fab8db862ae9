"""The golden check: whether an answer matches the release record. The canary and `smoke` share it."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# Two machines' floating point may differ by this much; a different model differs by far more.
TOLERANCE = 1e-3
UNPROCESSABLE = 422
PHANTOMS = Path(__file__).with_name("phantoms")


def difference(
    status: int, body: Mapping[str, object], *, probability: float | None, sha256: str
) -> str | None:
    """Return how an answer of ``POST /predict`` differs from the record, or None if it matches.

    `probability` and the artifact's `sha256` are the record's; without a probability it promises a refusal.
    """
    if probability is None:
        return None if status == UNPROCESSABLE else f"a refusal was expected, the answer is {status}"
    answered, model = body.get("probability"), body.get("model")
    if not isinstance(answered, int | float) or not isinstance(model, dict):
        return f"the answer is {status}: {body.get('detail', 'no prediction')}"
    if model.get("sha256") != sha256:
        return f"another model answered: {str(model.get('sha256'))[:12]}"
    if abs(answered - probability) > TOLERANCE:
        return f"the probability is {answered:.4f}, expected {probability:.4f}"
    return None


def predict_event(image: bytes, *, media_type: str, request_id: str) -> dict[str, object]:
    """Return the proxy event that API Gateway makes of ``POST /predict`` with an image."""
    return {
        "resource": "/{proxy+}",
        "httpMethod": "POST",
        "pathParameters": {"proxy": "predict"},
        "headers": {"Content-Type": media_type},
        "body": base64.b64encode(image).decode(),
        "isBase64Encoded": True,
        "requestContext": {"requestId": request_id},
    }


def phantom_file(*, seed: int, lesion: bool) -> str:
    """Return the file name of a phantom in `PHANTOMS`."""
    return f"{seed}-{'lesion' if lesion else 'healthy'}.png"
