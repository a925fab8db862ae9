"""The network alone, in LiteRT: TensorFlow's own small runtime, which needs no TensorFlow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from .metadata import ModelError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_LOGIT_RANK = 2  # shape (1, 1)
_EVIDENCE_RANK = 4  # shape (1, rows, columns, 1)


class Network:
    """A LiteRT file: one grey image in, a logit out, and maybe the map of evidence whose mean it is."""

    def __init__(self, path: Path, *, size: int, threads: int) -> None:
        self.path = path
        try:
            # From memory: a file replaced under a running server cannot change or crash it.
            self._interpreter = Interpreter(model_content=path.read_bytes(), num_threads=threads)
            self._interpreter.allocate_tensors()
        except (OSError, ValueError, RuntimeError) as error:
            raise ModelError(f"{path}: cannot be loaded: {error}") from error
        inputs = self._interpreter.get_input_details()
        shapes = [tuple(map(int, tensor["shape"])) for tensor in inputs]
        if shapes != [(1, size, size, 1)] or inputs[0]["dtype"] is not np.float32:
            raise ModelError(f"{path}: takes {shapes}, not one float32 image of (1, {size}, {size}, 1)")
        self._input: int = inputs[0]["index"]
        by_rank: dict[int, int] = {
            len(tensor["shape"]): tensor["index"] for tensor in self._interpreter.get_output_details()
        }
        if _LOGIT_RANK not in by_rank:
            raise ModelError(f"{path}: has no output of shape (1, 1) for the logit")
        self._logit = by_rank[_LOGIT_RANK]
        self._evidence = by_rank.get(_EVIDENCE_RANK)

    @property
    def has_evidence(self) -> bool:
        """Whether `run` returns an evidence map."""
        return self._evidence is not None

    def run(self, image: NDArray[np.float32]) -> tuple[float, NDArray[np.float32] | None]:
        """Return the logit and the evidence map, shape (rows, columns), for one (size, size, 1) image."""
        self._interpreter.set_tensor(self._input, image[np.newaxis])
        self._interpreter.invoke()
        logit = float(self._interpreter.get_tensor(self._logit).item())
        if self._evidence is None:
            return logit, None
        return logit, self._interpreter.get_tensor(self._evidence)[0, :, :, 0]


def known_question(size: int) -> NDArray[np.float32]:
    """Return the input whose logit travels in `metadata.json` as the known answer to the question "ramp"."""
    return np.linspace(0, 1, size * size, dtype=np.float32).reshape(size, size, 1)
