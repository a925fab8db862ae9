"""Starts what SageMaker's sample container starts: nginx before gunicorn. `python serve.py FOLDER WORKERS`.

FOLDER holds the filled-in `nginx.conf` and takes the socket between both. gunicorn's workers are its plain
ones: under the sample's gevent Keras's `predict` fails.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path


def main() -> None:
    """Start both, and end both when either ends or somebody asks for it."""
    folder, workers = Path(sys.argv[1]), sys.argv[2]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    gunicorn = ["gunicorn", "--workers", workers, "--timeout", "60", "--bind", f"unix:{folder / 'socket'}",
                "server:app"]  # fmt: skip
    nginx = ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
    started = [subprocess.Popen(command) for command in (gunicorn, nginx)]
    try:
        while all(process.poll() is None for process in started):
            time.sleep(0.1)
    finally:
        for process in started:
            process.terminate()


if __name__ == "__main__":
    main()
