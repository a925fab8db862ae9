"""FastAPI around TensorFlow: the image in the body, classified in a thread so that the loop stays free."""

from __future__ import annotations

import math
import os
from pathlib import Path

import tensorflow as tf
from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool

from container import imaging, metadata

app = FastAPI()
_network = tf.saved_model.load(os.environ["SAVED_MODEL"])
_metadata = metadata.load(Path(os.environ["MODEL_DIR"]) / "metadata.json")


@app.get("/ping")
def ping() -> dict[str, str]:
    """Answer once the network is loaded."""
    return {"status": "ok"}


@app.post("/predict")
async def predict(request: Request) -> dict[str, float]:
    """Classify the image in the body."""
    return await run_in_threadpool(classify, await request.body())


def classify(data: bytes) -> dict[str, float]:
    """Decode, preprocess and calibrate as the project does, with TensorFlow between."""
    pixels = imaging.preprocess(imaging.decode(data), size=_metadata.size)
    outputs, _evidence = _network.serve(pixels[None])
    logit = float(outputs.numpy()[0][0])
    return {"probability": 0.5 * (1 + math.tanh((_metadata.slope * logit + _metadata.intercept) / 2))}
