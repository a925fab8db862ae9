"""What an environment served and had labelled, written as SageMaker and the gateway write it."""

from __future__ import annotations

import base64
import json
import uuid
from typing import TYPE_CHECKING, Any

import numpy as np

from infra import names
from tests.monitoring.served import NOW, SHA256, captured, drawn, lines, rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infra.config import Settings


HOSTING = """\
mode = "real-time"
instance_type = "ml.c7i.large"
instance_count = 1

[hosting.data_capture]
percent = 100
expire_days = 30
what = ["input", "output"]

[feedback]
expire_days = 30
"""


def serve(s3: Any, settings: Settings, images: Sequence[tuple[bytes, bool]], *, account: str) -> None:
    """Capture images, given each with whether it shows a tumour, and label them so."""
    place = {"account": account, "region": settings.region}
    statistics = rows(drawn(len(images), np.random.default_rng(3)))
    exchanges = []
    for (image, tumour), row in zip(images, statistics, strict=True):
        id_ = str(uuid.uuid4())
        exchange = captured(row, id_=id_)
        data = base64.b64encode(image).decode()
        exchange["captureData"]["endpointInput"] = {"mode": "INPUT", "data": data, "encoding": "BASE64"}
        exchanges.append(exchange)
        label: dict[str, Any] = {
            "request_id": id_,
            "label": "YES" if tumour else "NO",
            "model_sha256": SHA256,
        }
        label |= {"time": NOW.isoformat(), "caller": None}
        bucket = names.label_bucket(settings.environment, **place)
        s3.put_object(Bucket=bucket, Key=f"labels/{id_}/{'0' * 16}.json", Body=json.dumps(label).encode())
    endpoint = settings.endpoint_name
    key = f"{endpoint}/{endpoint}/{names.VARIANT_NAME}/{NOW:%Y/%m/%d/%H}/00-00-000-{uuid.uuid4()}.jsonl"
    s3.put_object(Bucket=names.capture_bucket(settings.environment, **place), Key=key, Body=lines(exchanges))
