"""A worker's own loop around a predictor that does as the image says, run by tests as a process."""

from __future__ import annotations

import os
import socket
import sys
import time
from typing import TYPE_CHECKING, cast

from container.worker import work

if TYPE_CHECKING:
    from container.predictor import Predictor


class Obedient:
    """Judges an image of the bytes b"WORD SECONDS" as that word, after that time; b"die" ends the process."""

    def check(self) -> None:
        """Find nothing wrong."""

    def see(self, image: bytes) -> list[str]:
        return image.decode().split()

    def judge(self, seen: list[str], *, heatmap: bool) -> dict[str, object]:
        word, *seconds = seen
        if word == "die":
            os._exit(3)
        time.sleep(float(seconds[0]) if seconds else 0)
        return {"word": word, "heatmap": heatmap}


if __name__ == "__main__":
    work(cast("Predictor", Obedient()), socket.socket(fileno=int(sys.argv[1])))
