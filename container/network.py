"""The network alone, in LiteRT: TensorFlow's own small runtime, which needs no TensorFlow."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from .metadata import ModelError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_JUDGEMENT_RANK = 2  # shape (1, 1) or (1, 2): the logit, and maybe the brain logit
_EVIDENCE_RANK = 4  # shape (1, rows, columns, 1)


class Reading(NamedTuple):
    """What a network says of one image."""

    logit: float  # of class 1, before calibration
    brain: float | None  # logit of the image being a brain MRI at all; None from a network that cannot tell
    evidence: NDArray[np.float32] | None  # shape (rows, columns), its mean is the logit; None likewise


class Network:
    """A LiteRT file: one grey image in, a reading out.

    Its outputs are told apart by their rank, never by their order, which a conversion may change: the
    judgement, shape (1, 1) or (1, 2), and maybe the evidence map, shape (1, rows, columns, 1).
    """

    def __init__(self, path: Path, *, size: int, threads: int) -> None:
        self.path = path
        try:
            # By its path LiteRT maps the file into memory, where processes share it.
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
        judgements = [index for index, shape in outputs.items() if len(shape) == _JUDGEMENT_RANK]
        maps = [index for index, shape in outputs.items() if len(shape) == _EVIDENCE_RANK]
        known = len(judgements) == 1 and len(maps) <= 1 and len(judgements + maps) == len(outputs)
        if not known or outputs[judgements[0]] not in ((1, 1), (1, 2)):
            raise ModelError(
                f"{path}: gives {list(outputs.values())}, not the logits of shape (1, 1) or (1, 2) and at "
                f"most one map of evidence of shape (1, rows, columns, 1)"
            )
        self._judgement = judgements[0]
        self._evidence = maps[0] if maps else None
        self.has_brain = outputs[self._judgement] == (1, 2)
        self.has_evidence = self._evidence is not None

    def run(self, image: NDArray[np.float32]) -> Reading:
        """Return what the network says of one preprocessed image, shape (size, size, 1)."""
        self._interpreter.set_tensor(self._input, image[np.newaxis])
        self._interpreter.invoke()
        judgement = self._interpreter.get_tensor(self._judgement)[0]
        evidence = None if self._evidence is None else self._interpreter.get_tensor(self._evidence)
        return Reading(
            logit=float(judgement[0]),
            brain=float(judgement[1]) if self.has_brain else None,
            evidence=None if evidence is None else evidence[0, :, :, 0],
        )


def known_question(size: int) -> NDArray[np.float32]:
    """Return the input whose logit travels in `metadata.json` as the known answer to the question "ramp"."""
    return np.linspace(0, 1, size * size, dtype=np.float32).reshape(size, size, 1)
