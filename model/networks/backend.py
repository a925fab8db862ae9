"""Keras on TensorFlow, imported without their notices and with the same settings everywhere.

The notices come from native code, out of reach of Python's logging. All training code imports both from here.
What the user's environment and `keras.json` set for other projects, such as another backend, does not apply.
"""

from __future__ import annotations

import os

from container.log import native_output_muted

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_USE_LEGACY_KERAS"] = "0"  # Keras 2, which MLflow would find as `tensorflow.keras`
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # for TensorFlow's later notices
with native_output_muted():
    import keras
    import tensorflow

if keras.config.backend() != "tensorflow":
    raise ImportError(f"Keras was imported before with the backend {keras.config.backend()}.")
keras.config.set_floatx("float32")
keras.config.set_image_data_format("channels_last")
tensorflow.get_logger().setLevel("ERROR")

__all__ = ["keras", "tensorflow"]
