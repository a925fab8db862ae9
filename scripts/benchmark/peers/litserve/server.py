"""LitServe, as its documentation serves images: a LitAPI that decodes base64, judges, and answers JSON.

LitServe reads the annotations when this is loaded, so they cannot be postponed as elsewhere.
"""

import base64
import sys

import litserve

from scripts.benchmark.peers import judge
from scripts.benchmark.peers.judge import Answer


class Judge(litserve.LitAPI):  # type: ignore[misc]  # it has no types here
    """Judges the image file in the key `image`."""

    def setup(self, device: str) -> None:  # noqa: ARG002 - there is only the processor
        """Load the network once a worker."""
        self._judge = judge.load()

    def decode_request(self, request: dict[str, str]) -> bytes:
        """Take the image's bytes out of the request."""
        return base64.b64decode(request["image"])

    def predict(self, x: bytes) -> Answer:
        """Judge them."""
        return self._judge(x)

    def encode_response(self, output: Answer) -> Answer:
        """Answer as it is: LitServe makes JSON of it."""
        return output


if __name__ == "__main__":
    server = litserve.LitServer(Judge(), accelerator="cpu", workers_per_device=int(sys.argv[2]))
    server.run(host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", generate_client_file=False)
