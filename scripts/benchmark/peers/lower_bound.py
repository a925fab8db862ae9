"""Decode and inference alone: the project's predictor in one process per core, without a server.

`python -m scripts.benchmark.peers.lower_bound PROCESSES SECONDS < IMAGE` prints one line of JSON.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from statistics import quantiles
from typing import TYPE_CHECKING

from container.predictor import Predictor

if TYPE_CHECKING:
    from threading import Barrier

WARM_UP = 20  # predictions
START_S = 60  # for all processes to be warm


def main() -> None:
    """Run the processes at the same time, and print their combined result."""
    image, count, seconds = sys.stdin.buffer.read(), int(sys.argv[1]), float(sys.argv[2])
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, ProcessPoolExecutor(count, mp_context=context) as pool:
        work = partial(_work, image, seconds=seconds, all_warm=manager.Barrier(count, timeout=START_S))
        done = list(pool.map(work, range(count)))
    latencies_ms = [1000 * each for latencies, _, _ in done for each in latencies]
    percentiles = quantiles(latencies_ms, n=100)
    print(
        json.dumps(
            {
                "per_second": len(latencies_ms) / seconds,
                "cpu_ms": 1000 * sum(cpu_s for _, cpu_s, _ in done) / len(latencies_ms),
                "decode_ms": 1000 * sum(decode_s for _, _, decode_s in done) / len(latencies_ms),
                "p50_ms": percentiles[49],
                "p99_ms": percentiles[98],
            }
        )
    )


def _work(image: bytes, core: int, *, seconds: float, all_warm: Barrier) -> tuple[list[float], float, float]:
    """Classify an image again and again on one core.

    Returns the latencies, the processor time and that of decoding, in seconds.
    """
    os.sched_setaffinity(0, [sorted(os.sched_getaffinity(0))[core]])
    predictor = Predictor.load(Path(os.environ["MODEL_DIR"]))
    for _ in range(WARM_UP):
        predictor.predict(image)
    all_warm.wait()
    latencies, decode = [], 0.0
    cpu, last = time.process_time(), time.perf_counter()
    end = last + seconds
    while last < end:
        began = time.process_time()
        preprocessed = predictor.preprocess(image)
        decode += time.process_time() - began
        predictor.classify(preprocessed)
        now = time.perf_counter()
        latencies.append(now - last)
        last = now
    return latencies, time.process_time() - cpu, decode


if __name__ == "__main__":
    main()
