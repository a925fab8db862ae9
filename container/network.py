"""The network in LiteRT, TensorFlow's small runtime, which needs no TensorFlow."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from .metadata import ModelError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_LOGITS_SHAPES = ((1, 2), (1, 3))  # the logit, the brain logit and, since schema 3, the familiarity
_EVIDENCE_RANK = 4  # shape (1, rows, columns, 1)


class NetworkOutput(NamedTuple):
    """The network's output for one image."""

    logit: float  # of class 1, before calibration
    brain_logit: float  # that the image is a brain MRI at all
    familiarity: float | None  # how much the view resembles what was learnt; None before schema 3
    evidence: NDArray[np.float32]  # shape (rows, columns), pooled into the logit


class Network:
    """A LiteRT file that maps one grey image to a `NetworkOutput`.

    Outputs are identified by their rank, not by their order, which a conversion may change.
    """

    def __init__(self, path: Path, *, size: int) -> None:
        self.path = path
        try:
            # Given a path, LiteRT maps the file into memory, which processes share.
            self._interpreter = Interpreter(model_path=str(path), num_threads=1)
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
        logits = [index for index, shape in outputs.items() if shape in _LOGITS_SHAPES]
        maps = [index for index, shape in outputs.items() if len(shape) == _EVIDENCE_RANK]
        if not len(logits) == len(maps) == 1 or len(logits + maps) != len(outputs):
            raise ModelError(
                f"{path}: returns {list(outputs.values())}, not the logits of shape (1, 2) or (1, 3) and an "
                "evidence map of shape (1, rows, columns, 1)"
            )
        self._logits, self._evidence = logits[0], maps[0]
        self.has_familiarity = outputs[self._logits] == _LOGITS_SHAPES[-1]

    def run(self, image: NDArray[np.float32]) -> NetworkOutput:
        """Run the network on one preprocessed image, shape (size, size, 1)."""
        self._interpreter.set_tensor(self._input, image[np.newaxis])
        self._interpreter.invoke()
        logits = self._interpreter.get_tensor(self._logits)[0]
        return NetworkOutput(
            logit=float(logits[0]),
            brain_logit=float(logits[1]),
            familiarity=float(logits[2]) if self.has_familiarity else None,
            evidence=self._interpreter.get_tensor(self._evidence)[0, :, :, 0],
        )


def known_input(size: int) -> NDArray[np.float32]:
    """Return the grey ramp whose logit `metadata.json` holds as the known answer, shape (size, size, 1)."""
    return np.linspace(0, 1, size * size, dtype=np.float32).reshape(size, size, 1)
