"""One engine in a process of its own: `python -m scripts.benchmark.engines.probe NAME FORM IMAGES THREADS S`.

Prints as JSON how long it took to load and to answer, what memory that needs, and its answers.
"""

from __future__ import annotations

import time

_BEGAN = time.perf_counter()  # before NumPy: loading counts from here

import json  # noqa: E402
import statistics  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import TYPE_CHECKING  # noqa: E402

import numpy as np  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Ask = Callable[[NDArray[np.float32]], NDArray[np.float32]]
    """From one image, (1, size, size, 1), to its judgement, (1, 2)."""

WARM_UP = 10
JUDGEMENT_RANK = 2  # of the two outputs, this one is (1, 2); the evidence map has four dimensions


def main() -> None:
    """Load, answer every image, then time single answers."""
    name, form, images, threads, seconds = sys.argv[1:6]
    judged = np.load(images)["images"]
    ask = LOADERS[name](Path(form), int(threads))
    ask(judged[:1])
    load_s = time.perf_counter() - _BEGAN
    judgements = [ask(image[np.newaxis])[0].tolist() for image in judged]
    print(
        json.dumps(
            {
                "load_s": load_s,
                "latency_ms": latency_ms(ask, judged, seconds=float(seconds)),
                "pss_mb": pss_mb(),
                "judgements": judgements,
            }
        )
    )


def latency_ms(ask: Ask, judged: NDArray[np.float32], *, seconds: float) -> float:
    """Median time of one answer, one image after the other."""
    for image in judged[:WARM_UP]:
        ask(image[np.newaxis])
    each: list[float] = []
    end = time.perf_counter() + seconds
    while (began := time.perf_counter()) < end:
        ask(judged[len(each) % len(judged)][np.newaxis])
        each.append(time.perf_counter() - began)
    return 1000 * statistics.median(each)


def pss_mb() -> float:
    """Memory of this process."""
    text = Path("/proc/self/smaps_rollup").read_text()
    line = next(line for line in text.splitlines() if line.startswith("Pss:"))
    return int(line.split()[1]) * 1024 / 1e6


def keras_predict(form: Path, threads: int) -> Ask:
    """Keras as most programs call it."""
    network = _keras(form, threads)
    return lambda image: _judgement(network.predict(image, verbose=0))


def keras_call(form: Path, threads: int) -> Ask:
    """Keras called as a function, layer after layer."""
    network = _keras(form, threads)
    return lambda image: _judgement([output.numpy() for output in network(image, training=False)])


def saved_model(form: Path, threads: int) -> Ask:
    """TensorFlow's graph as it was exported."""
    loaded = _tensorflow(threads).saved_model.load(str(form))
    return lambda image: _judgement([output.numpy() for output in loaded.serve(image)])


def onnx_runtime(form: Path, threads: int) -> Ask:
    """ONNX Runtime on the processor."""
    import onnxruntime  # noqa: PLC0415 - only where this engine is wanted

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(form, options, providers=["CPUExecutionProvider"])
    [taken] = session.get_inputs()
    return lambda image: _judgement(session.run(None, {taken.name: image}))


def openvino(form: Path, threads: int, *, precision: str | None = None) -> Ask:
    """OpenVINO, which may choose a lower precision by itself."""
    import openvino as ov  # noqa: PLC0415 - only where this engine is wanted

    settings: dict[str, object] = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    if precision:
        settings["INFERENCE_PRECISION_HINT"] = precision
    model = ov.Core().read_model(form)
    [taken] = model.inputs
    model.reshape({taken: [1, *[side.get_length() for side in list(taken.partial_shape)[1:]]]})
    request = ov.compile_model(model, "CPU", settings).create_infer_request()
    return lambda image: _judgement(list(request.infer([image]).values()))


def openvino_float32(form: Path, threads: int) -> Ask:
    """OpenVINO held to float32."""
    return openvino(form, threads, precision="f32")


def litert(form: Path, threads: int) -> Ask:
    """LiteRT, as the project's server has it."""
    from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415 - only where this engine is wanted

    interpreter = Interpreter(model_path=str(form), num_threads=threads)
    interpreter.allocate_tensors()
    [taken] = interpreter.get_input_details()
    [given] = [each for each in interpreter.get_output_details() if len(each["shape"]) == JUDGEMENT_RANK]

    def ask(image: NDArray[np.float32]) -> NDArray[np.float32]:
        interpreter.set_tensor(taken["index"], image)
        interpreter.invoke()
        judgement: NDArray[np.float32] = interpreter.get_tensor(given["index"])
        return judgement

    return ask


def _keras(form: Path, threads: int):  # type: ignore[no-untyped-def]  # Keras has no types
    _tensorflow(threads)
    import keras  # noqa: PLC0415 - only where this engine is wanted

    from model.network import Asymmetry, Shift  # noqa: PLC0415 - with it comes TensorFlow

    custom = {"tumor-detector>Asymmetry": Asymmetry, "tumor-detector>Shift": Shift}
    return keras.models.load_model(form, custom_objects=custom)


def _tensorflow(threads: int):  # type: ignore[no-untyped-def]  # TensorFlow has no types
    import tensorflow as tf  # noqa: PLC0415 - only where this engine is wanted

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    return tf


def _judgement(outputs: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Find the judgement by its rank, since conversions change the order of outputs."""
    return next(output for output in outputs if output.ndim == JUDGEMENT_RANK)


LOADERS: dict[str, Callable[[Path, int], Ask]] = {
    "keras-predict": keras_predict,
    "keras-call": keras_call,
    "saved-model": saved_model,
    "onnx-runtime": onnx_runtime,
    "openvino": openvino,
    "openvino-float32": openvino_float32,
    **dict.fromkeys(("litert-float32", "litert-float16", "litert-int8-dynamic", "litert-int8-whole"), litert),
}


if __name__ == "__main__":
    main()
