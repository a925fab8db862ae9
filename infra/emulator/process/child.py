"""Child processes: how a parent waits for and stops one, and how one ends with its parent.

``python -m infra.emulator.process.child MODULE:FUNCTION ARGUMENTS...`` runs a function, or the file that is
named instead, as a program's main function that ends when its parent is gone, however the parent ended.
Standard input is a pipe that the parent holds open and never writes to: at its end the program gets SIGTERM,
and SIGKILL if that did not end it.
"""

from __future__ import annotations

import contextlib
import http.client
import importlib
import os
import resource
import runpy
import signal
import subprocess
import sys
import threading
import time

from infra.local_aws import HOST

GRACE_S = 30.0  # SageMaker too gives a container 30 s between SIGTERM and SIGKILL
OPEN_FILES = 1024  # of a model's server: AWS Lambda's limit, which serverless inference has


def responds(port: int, path: str) -> bool:
    """Whether a server on 127.0.0.1 answers 200."""
    connection = http.client.HTTPConnection(HOST, port, timeout=2)
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    return False


def stop(process: subprocess.Popen[bytes], *, grace_s: float) -> bool:
    """Stop a process, wait until it is gone, and return whether it had to be killed."""
    process.terminate()
    try:
        process.wait(timeout=grace_s)
        killed = False
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        killed = True
    if process.stdin:
        process.stdin.close()
    return killed


def end_with_parent() -> None:
    """End this process once its standard input does, in a thread of its own."""

    def watch() -> None:
        while os.read(0, 1024):
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE_S)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def main() -> None:
    """Run the program of the command line, which is a model's server or a file."""
    end_with_parent()
    if sys.argv[1].endswith(".py"):
        del os.environ["PYTHONPATH"]  # what the file starts finds its own modules
        runpy.run_path(sys.argv[1], run_name="__main__")
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, OPEN_FILES))
    module, _, function = sys.argv[1].partition(":")
    sys.argv = [module, *sys.argv[2:]]
    getattr(importlib.import_module(module), function)()


if __name__ == "__main__":
    main()
