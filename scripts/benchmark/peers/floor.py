"""The floor: the project's own predictor in one process a core, with no HTTP and nobody to wait for.

`python -m scripts.benchmark.peers.floor MODEL_DIR PROCESSES` prints a line when all have loaded. Then each
line of JSON on its input, {"image": PATH, "seconds": S}, is answered by a line of what the processes did.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from container.predictor import Predictor

if TYPE_CHECKING:
    from multiprocessing.connection import Connection


class Done(TypedDict):
    """What one process did: images judged, processor time, the seconds of each, and the last probability."""

    images: int
    cpu_s: float
    each_s: list[float]
    probability: float


def main() -> None:
    """Start the processes, and hand each line of the input to all of them."""
    model_dir, count = Path(sys.argv[1]), int(sys.argv[2])
    context = multiprocessing.get_context("spawn")  # one that has loaded LiteRT must not be forked
    pipes = []
    for core in range(count):
        ours, theirs = context.Pipe()
        context.Process(target=work, args=(model_dir, core, theirs), daemon=True).start()
        pipes.append(ours)
    for pipe in pipes:
        pipe.recv()
    print(json.dumps({"ready": os.getpid()}), flush=True)
    for line in sys.stdin:
        for pipe in pipes:
            pipe.send(json.loads(line))
        print(json.dumps([pipe.recv() for pipe in pipes]), flush=True)


def work(model_dir: Path, core: int, pipe: Connection) -> None:
    """Judge the image that each message names, again and again for its seconds, on one core."""
    os.sched_setaffinity(0, [sorted(os.sched_getaffinity(0))[core]])
    predictor = Predictor.load(model_dir)
    pipe.send("ready")
    while True:
        try:
            order = pipe.recv()
        except EOFError:  # whoever asked has ended
            return
        data = Path(order["image"]).read_bytes()
        pipe.send(judge(predictor, data, seconds=order["seconds"]))


def judge(predictor: Predictor, data: bytes, *, seconds: float) -> Done:
    """Judge an image as often as the time allows."""
    each: list[float] = []
    cpu, last = time.process_time(), time.perf_counter()
    end = last + seconds
    probability = 0.0
    while last < end:
        probability = predictor.predict(data)["probability"]
        now = time.perf_counter()
        each.append(now - last)
        last = now
    used = time.process_time() - cpu
    return {"images": len(each), "cpu_s": used, "each_s": each, "probability": probability}


if __name__ == "__main__":
    main()
