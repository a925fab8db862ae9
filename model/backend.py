"""Keras and TensorFlow, imported without their notices.

Those come from native code, which no setting in Python reaches; all that trains imports both from here.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def _native_stderr_silenced() -> Iterator[None]:
    """Send what is written to file descriptor 2 to nowhere; exceptions pass as ever."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # for what TensorFlow says later, while it works
with _native_stderr_silenced():
    import keras
    import tensorflow

tensorflow.get_logger().setLevel("ERROR")

__all__ = ["keras", "tensorflow"]
