"""LitServe around the project's predictor: base64 in JSON, as its documentation sends images.

LitServe reads the annotations when it starts: they cannot be postponed here.
"""

import base64
import os
import sys
from pathlib import Path

import litserve

from container.predictor import Predictor


class Classifier(litserve.LitAPI):  # type: ignore[misc]  # untyped
    """Classifies the image in the key `image`."""

    def setup(self, device: str) -> None:  # noqa: ARG002 - LitServe's signature
        """Load the network, once per worker."""
        self._predictor = Predictor.load(Path(os.environ["MODEL_DIR"]))

    def decode_request(self, request: dict[str, str]) -> bytes:
        """Return the image's bytes."""
        return base64.b64decode(request["image"])

    def predict(self, x: bytes) -> dict[str, float]:
        """Classify the image."""
        return {"probability": self._predictor.predict(x)["probability"]}

    def encode_response(self, output: dict[str, float]) -> dict[str, float]:
        """Return what LitServe turns into JSON."""
        return output


if __name__ == "__main__":
    server = litserve.LitServer(Classifier(), accelerator="cpu", workers_per_device=int(sys.argv[2]))
    server.run(host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", generate_client_file=False)
