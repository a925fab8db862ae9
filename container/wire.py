"""What the front and a worker say to each other over their socket pair: one request, one reply, in turns.

A request is its head and the image's bytes, a reply its head and the answer's bytes. A worker that is ready
says so first, with one byte.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

READY = b"!"
REQUEST_HEAD = struct.Struct("!I?")  # bytes of the image, whether a heatmap is wanted
REPLY_HEAD = struct.Struct("!HIII")  # status, bytes of the body, the phases below


class Reply(NamedTuple):
    """A worker's answer to one image, ready to be sent on."""

    status: int  # of HTTP
    body: bytes  # JSON: the answer, or a problem where the status is not 200
    decode_us: int = 0  # microseconds from the bytes to what the network sees
    inference_us: int = 0  # microseconds from there to the answer

    def pack(self) -> bytes:
        """Return the reply as it is sent."""
        return REPLY_HEAD.pack(self.status, len(self.body), self.decode_us, self.inference_us) + self.body
