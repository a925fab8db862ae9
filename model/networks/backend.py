"""Keras on TensorFlow, imported without their notices and with the same settings everywhere.

The notices come from native code, out of reach of Python's logging. All training code imports both from here.
What the user's environment and `keras.json` set for other projects, such as another backend, does not apply.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def _native_stderr_silenced() -> Iterator[None]:
    """Discard what is written to file descriptor 2; exceptions still propagate."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_USE_LEGACY_KERAS"] = "0"  # Keras 2, which MLflow would find as `tensorflow.keras`
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # for TensorFlow's later notices
with _native_stderr_silenced():
    import keras
    import tensorflow

if keras.config.backend() != "tensorflow":
    raise ImportError(f"Keras was imported before with the backend {keras.config.backend()}.")
keras.config.set_floatx("float32")
keras.config.set_image_data_format("channels_last")
tensorflow.get_logger().setLevel("ERROR")

__all__ = ["keras", "tensorflow"]
