"""The network in LiteRT, TensorFlow's small runtime, which needs no TensorFlow."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from .metadata import ModelError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_LOGITS_RANK = 2  # shape (1, 1) to (1, 3): the logit, and optionally the brain logit and the familiarity
_EVIDENCE_RANK = 4  # shape (1, rows, columns, 1)


class NetworkOutput(NamedTuple):
    """The network's output for one image."""

    logit: float  # of class 1, before calibration
    brain_logit: float | None  # that the image is a brain MRI at all; None without such a head
    familiarity: float | None  # how much the view resembles what was learnt; None without such a head
    evidence: NDArray[np.float32] | None  # shape (rows, columns), pooled into the logit; None without a map


class Network:
    """A LiteRT file that maps one grey image to a `NetworkOutput`.

    Outputs are identified by their rank, not by their order, which a conversion may change.
    """

    def __init__(self, path: Path, *, size: int, threads: int) -> None:
        self.path = path
        try:
            # Given a path, LiteRT maps the file into memory, which processes share.
            self._interpreter = Interpreter(model_path=str(path), num_threads=threads)
            self._interpreter.allocate_tensors()
        except (OSError, ValueError, RuntimeError) as error:
            raise ModelError(f"{path}: cannot be loaded: {error}") from error
        inputs = self._interpreter.get_input_details()
        shapes = [tuple(map(int, tensor["shape"])) for tensor in inputs]
        if shapes != [(1, size, size, 1)] or inputs[0]["dtype"] is not np.float32:
            raise ModelError(f"{path}: takes {shapes}, not one float32 image of (1, {size}, {size}, 1)")
        self._input: int = inputs[0]["index"]
        outputs: dict[int, tuple[int, ...]] = {
            tensor["index"]: tuple(map(int, tensor["shape"]))
            for tensor in self._interpreter.get_output_details()
        }
        logits = [index for index, shape in outputs.items() if len(shape) == _LOGITS_RANK]
        maps = [index for index, shape in outputs.items() if len(shape) == _EVIDENCE_RANK]
        known = len(logits) == 1 and len(maps) <= 1 and len(logits + maps) == len(outputs)
        if not known or outputs[logits[0]] not in ((1, 1), (1, 2), (1, 3)):
            raise ModelError(
                f"{path}: returns {list(outputs.values())}, not the logits of shape (1, 1), (1, 2) or "
                f"(1, 3) and at most one evidence map of shape (1, rows, columns, 1)"
            )
        self._logits = logits[0]
        self._evidence = maps[0] if maps else None
        self.has_brain_logit = outputs[self._logits] != (1, 1)
        self.has_familiarity = outputs[self._logits] == (1, 3)
        self.has_evidence = self._evidence is not None

    def run(self, image: NDArray[np.float32]) -> NetworkOutput:
        """Run the network on one preprocessed image, shape (size, size, 1)."""
        self._interpreter.set_tensor(self._input, image[np.newaxis])
        self._interpreter.invoke()
        logits = self._interpreter.get_tensor(self._logits)[0]
        evidence = None if self._evidence is None else self._interpreter.get_tensor(self._evidence)
        return NetworkOutput(
            logit=float(logits[0]),
            brain_logit=float(logits[1]) if self.has_brain_logit else None,
            familiarity=float(logits[2]) if self.has_familiarity else None,
            evidence=None if evidence is None else evidence[0, :, :, 0],
        )


def known_input(size: int) -> NDArray[np.float32]:
    """Return the grey ramp whose logit `metadata.json` holds as the known answer, shape (size, size, 1)."""
    return np.linspace(0, 1, size * size, dtype=np.float32).reshape(size, size, 1)
