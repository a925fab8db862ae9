"""SageMaker's data capture: a share of a variant's invocations is kept in S3, as files of JSON lines.

docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-data-capture-endpoint.html has the layout and the form.
Whether AWS captures answers that are not 2xx is **unverified**; here they are not captured.
"""

from __future__ import annotations

import base64
import json
import logging
import random
import threading
import time
import uuid
from typing import TYPE_CHECKING

from infra.emulator.sagemaker.execution_role import REFUSALS

if TYPE_CHECKING:
    from infra.emulator.sagemaker.execution_role import ExecutionRole
    from infra.emulator.validation.rules import Json

log = logging.getLogger("sagemaker")

WRITTEN_AFTER_S = 1.0  # in which further records join the file; AWS takes minutes


class Capture:
    """What a variant's `DataCaptureConfig` keeps; written with the model's execution role.

    `label` is endpoint and variant, with a slash between them, as the keys of the files have them.
    """

    def __init__(self, config: Json, *, label: str, role: ExecutionRole) -> None:
        self._config = config
        self._label = label
        self._role = role
        self._json_types = config.get("CaptureContentTypeHeader", {}).get("JsonContentTypes", [])
        self._lines: list[str] = []
        self._writing: threading.Timer | None = None
        self._lock = threading.Lock()

    def add(
        self, data: dict[str, tuple[str, bytes]], *, inference_id: str | None, attributes: str | None
    ) -> None:
        """Take an invocation, of which `data` has the media type and the bytes by "Input" and "Output"."""
        if random.random() * 100 >= self._config["InitialSamplingPercentage"]:  # noqa: S311 - a sample
            return
        named = {"inferenceId": inference_id, "customAttributes": [attributes] if attributes else None}
        record = {
            "captureData": {
                f"endpoint{mode}": self._described(mode, *data[mode])
                for mode in (each["CaptureMode"] for each in self._config["CaptureOptions"])
            },
            "eventMetadata": {
                "eventId": str(uuid.uuid4()),
                **{name: value for name, value in named.items() if value},
                "inferenceTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            },
            "eventVersion": "0",
        }
        with self._lock:
            self._lines.append(json.dumps(record) + "\n")
            if self._writing is None:
                self._writing = threading.Timer(WRITTEN_AFTER_S, self.write)
                self._writing.daemon = True
                self._writing.start()

    def write(self) -> None:
        """Write what has been taken as one file, at once."""
        with self._lock:
            lines, self._lines = self._lines, []
            if self._writing:
                self._writing.cancel()
                self._writing = None
        if not lines:
            return
        now = time.time()
        hour = time.strftime("%Y/%m/%d/%H/%M-%S", time.gmtime(now))
        path = f"{self._label}/{hour}-{now % 1 * 1000:03.0f}-{uuid.uuid4()}.jsonl"
        url = f"{self._config['DestinationS3Uri'].rstrip('/')}/{path}"
        try:
            self._role.write(url, "".join(lines).encode(), key=self._config.get("KmsKeyId"))
        except REFUSALS as error:
            log.error("%s: %d captured records are lost: %s", self._label, len(lines), error)

    def _described(self, mode: str, media_type: str, content: bytes) -> dict[str, str]:
        is_json = media_type in self._json_types
        return {
            "observedContentType": media_type,
            "mode": mode.upper(),
            "encoding": "JSON" if is_json else "BASE64",
            "data": content.decode(errors="replace") if is_json else base64.b64encode(content).decode(),
        }
