"""Runs a Python program that ends when whoever started it is gone, however that went.

``python -m infra.local.leash PROGRAM...`` takes what ``python`` itself takes: a script's path, or ``-m`` and
a module, then arguments. It reads standard input, which the starter holds open and never writes to: at its
end the program gets SIGTERM, and SIGKILL if that did not end it.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
import time

GRACE_S = 30.0  # SageMaker too gives a container 30 s between SIGTERM and SIGKILL


def _end_with_starter() -> None:
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_S)
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """Run the program of the command line under the leash."""
    threading.Thread(target=_end_with_starter, daemon=True).start()
    if sys.argv[1] == "-m":
        sys.argv = sys.argv[2:]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv = sys.argv[1:]
        runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
