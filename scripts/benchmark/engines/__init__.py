"""The network alone, in each engine that could serve it: how quick, how large, how true to Keras."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

from container import metadata
from scripts.benchmark import environments, network, quiet
from scripts.benchmark.peers.judge import probability
from scripts.benchmark.places import HOME, ROOT, BenchmarkError
from scripts.delivery.console import say, step

if TYPE_CHECKING:
    from container.metadata import Metadata
    from scripts.benchmark import results
    from scripts.benchmark.results import Store

THREADS = (1, 2)
SECONDS = 5.0
ONNX = HOME / "forms" / "network.onnx"
REFERENCE = "keras-predict"
_LIMIT_S = 300  # for one engine to load and answer


@dataclass(frozen=True)
class Engine:
    """One way to compute the network.

    Attributes
    ----------
    environment
        Of those in `environments`; `package` is what its version is shown of.
    form
        What is loaded.
    """

    name: str
    title: str
    environment: str
    package: str
    form: str


class Said(TypedDict):
    """What `engines/probe.py` prints; `judgements` are the logits of every judged image."""

    load_s: float
    latency_ms: float
    pss_mb: float
    judgements: list[list[float]]


def _litert(form: str, title: str) -> Engine:
    return Engine(
        f"litert-{form}", f"LiteRT, {title}", "ours", "ai-edge-litert", str(network.LITERT / f"{form}.tflite")
    )


ENGINES = (
    Engine(REFERENCE, "Keras `predict`", "engines", "keras", str(network.KERAS)),
    Engine("keras-call", "Keras, called", "engines", "keras", str(network.KERAS)),
    Engine("saved-model", "TensorFlow SavedModel", "engines", "tensorflow", str(network.SAVED_MODEL)),
    Engine("onnx-runtime", "ONNX Runtime", "engines", "onnxruntime", str(ONNX)),
    Engine("openvino-float32", "OpenVINO, float32 forced", "engines", "openvino", str(ONNX)),
    Engine("openvino", "OpenVINO, its default", "engines", "openvino", str(ONNX)),
    _litert("float32", "float32"),
    _litert("float16", "float16 weights"),
    _litert("int8-dynamic", "int8 weights, dynamic range"),
    _litert("int8-whole", "int8 throughout, calibrated"),
)


def measure_all(store: Store, *, patience_s: float) -> None:
    """Measure every engine, each at each number of threads in a process of its own."""
    for name in dict.fromkeys(engine.environment for engine in ENGINES):
        environments.ensure(name)
    about = metadata.load(network.SERVING / "metadata.json")
    _convert()
    reference: list[list[float]] | None = None
    for engine in ENGINES:
        try:
            said = {threads: _probe(engine, threads, patience_s) for threads in THREADS}
        except BenchmarkError as error:
            say(f"✗ {engine.title}: {error}")
            store.results["engines"][engine.name] = _row(engine, failed=str(error))
            store.write()
            continue
        first = said[THREADS[0]]
        reference = reference or first["judgements"]
        largest, changed = compare(first["judgements"], reference, about)
        latency = {str(threads): each["latency_ms"] for threads, each in said.items()}
        store.results["engines"][engine.name] = _row(
            engine,
            latency_ms=latency,
            load_s=first["load_s"],
            pss_mb=first["pss_mb"],
            largest_difference=largest,
            changed_classes=changed,
            images=len(reference),
        )
        store.write()
        shown = ", ".join(f"{value:.2f} ms at {threads}" for threads, value in latency.items())
        say(f"  {engine.title:32}{shown}; load {first['load_s']:.2f} s, {first['pss_mb']:.0f} MB, "
            f"largest difference {largest:.1e}, {changed} classes changed")  # fmt: skip


def compare(said: list[list[float]], reference: list[list[float]], about: Metadata) -> tuple[float, int]:
    """Compare logits with Keras's; the largest difference of a probability, and how many classes changed."""

    def probabilities(judgements: list[list[float]]) -> list[float]:
        return [probability(row[0], slope=about.slope, intercept=about.intercept) for row in judgements]

    pairs = list(zip(probabilities(said), probabilities(reference), strict=True))
    changed = sum((one >= about.threshold) != (other >= about.threshold) for one, other in pairs)
    return max(abs(one - other) for one, other in pairs), changed


def _row(
    engine: Engine,
    *,
    failed: str | None = None,
    latency_ms: dict[str, float] | None = None,
    load_s: float | None = None,
    pss_mb: float | None = None,
    largest_difference: float | None = None,
    changed_classes: int = 0,
    images: int = 0,
) -> results.Engine:
    return {
        "title": engine.title,
        "version": environments.versions(engine.environment)[engine.package],
        "latency_ms": latency_ms or {},
        "load_s": load_s,
        "pss_mb": pss_mb,
        "largest_difference": largest_difference,
        "changed_classes": changed_classes,
        "images": images,
        "failed": failed,
    }


def _convert() -> None:
    """Convert the SavedModel to ONNX, unless that is done."""
    if ONNX.is_file() and ONNX.stat().st_mtime >= network.EXPECTED.stat().st_mtime:
        return
    ONNX.parent.mkdir(parents=True, exist_ok=True)
    with step("converting the network to ONNX"):
        _run("engines", "-m", "tf2onnx.convert", "--saved-model", str(network.SAVED_MODEL), "--output",
             str(ONNX), "--opset", "17")  # fmt: skip


def _probe(engine: Engine, threads: int, patience_s: float) -> Said:
    quiet.wait(patience_s=patience_s)
    printed = _run(
        engine.environment, "-m", "scripts.benchmark.engines.probe", engine.name, engine.form,
        str(network.JUDGED), str(threads), str(SECONDS),
    )  # fmt: skip
    said: Said = json.loads(printed.splitlines()[-1])
    return said


def _run(environment: str, *arguments: str) -> str:
    """Run a Python program in an environment; what it printed."""
    variables = {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    try:
        done = subprocess.run(
            [environments.program(environment), *arguments], cwd=ROOT, env={**os.environ, **variables},
            capture_output=True, text=True, timeout=_LIMIT_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise BenchmarkError(f"{arguments[2]} did not end within {_LIMIT_S} s") from error
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise BenchmarkError(f"{arguments[1]} failed: {lines[-1] if lines else done.returncode}")
    return done.stdout
