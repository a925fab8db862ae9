"""What an environment served and had labelled, written as SageMaker and the gateway write it."""

from __future__ import annotations

import base64
import json
import time
import uuid
from typing import TYPE_CHECKING, Any

import numpy as np

from infra import names
from tests.monitoring.served import NOW, SHA256, captured, drawn, lines, logged, rows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from infra.config import Settings
    from tests.emulator.cloud import Cloud


def serve(s3: Any, settings: Settings, images: Sequence[tuple[bytes, bool]], *, account: str) -> list[str]:
    """Capture images, given each with whether it shows a tumour, and label them so; return their ids."""
    place = {"account": account, "region": settings.region}
    statistics = rows(drawn(len(images), np.random.default_rng(3)))
    exchanges = []
    for (image, tumour), row in zip(images, statistics, strict=True):
        id_ = str(uuid.uuid4())
        exchange = captured(row, id_=id_)
        data = base64.b64encode(image).decode()
        exchange["captureData"]["endpointInput"] = {"mode": "INPUT", "data": data, "encoding": "BASE64"}
        exchanges.append(exchange)
        content = json.dumps(labelled(id_, "YES" if tumour else "NO")).encode()
        bucket = names.bucket(settings.environment, "labels", **place)
        s3.put_object(Bucket=bucket, Key=f"labels/{id_}/{'0' * 16}.json", Body=content)
    bucket = names.bucket(settings.environment, "sample", **place)
    s3.put_object(Bucket=bucket, Key=capture_key(settings, NOW), Body=lines(exchanges))
    return [each["eventMetadata"]["inferenceId"] for each in exchanges]


def labelled(id_: str, label: str) -> dict[str, Any]:
    """Return a label as the gateway keeps it."""
    about = {"model_sha256": SHA256, "time": "2026-11-30T20:00:00Z", "caller": None}
    return {"request_id": id_, "label": label, **about}


def capture_key(settings: Settings, time: datetime) -> str:
    endpoint = settings.endpoint_name
    return f"{endpoint}/{endpoint}/{names.VARIANT_NAME}/{time:%Y/%m/%d/%H/%M-%S}-000-{uuid.uuid4()}.jsonl"


def log_answers(cloud: Cloud, group: str, statistics: Sequence[dict[str, Any]], ids: Sequence[str]) -> None:
    """Log answers as the gateway does, between other lines."""
    stream, logs = {"logGroupName": group, "logStreamName": "any"}, cloud.client("logs")
    logs.create_log_stream(**stream)
    answers = [json.dumps(logged(row, id_=id_)) for row, id_ in zip(statistics, ids, strict=True)]
    now = int(time.time() * 1000)
    messages = ["START RequestId: any", *answers, '{"status": 404}', '{"status": 422, "watched": null}']
    logs.put_log_events(**stream, logEvents=[{"timestamp": now, "message": each} for each in messages])
