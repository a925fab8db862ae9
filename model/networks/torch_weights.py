"""Reads a PyTorch weights file in the format before PyTorch 1.6, without PyTorch.

Such a file is a sequence of pickles (magic number, protocol version, system information, the named tensors,
the storage keys) followed by each storage as its length and raw numbers. Source: `torch/serialization.py`,
`_legacy_save`. A pickle can execute any code, so only the names that tensors consist of are allowed.
"""

from __future__ import annotations

import pickle
import struct
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    Kind = np.dtype[np.float32] | np.dtype[np.int64]
    Storage = tuple[Kind, str]

_PREAMBLE = 3  # pickles before the named tensors


class TorchFileError(Exception):
    """The file cannot be read; the message says why."""


class _Tensor(NamedTuple):
    """The arguments from which PyTorch builds a tensor; offset and strides in elements."""

    storage: Storage  # the kind of its numbers, and its key
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    requires_grad: bool
    hooks: object

    def read(self, storages: dict[str, bytes]) -> NDArray[np.generic]:
        """Return a copy of the numbers; raises ValueError or TypeError for what lies beyond the storage."""
        kind, key = self.storage
        strides = [stride * kind.itemsize for stride in self.strides]
        return np.ndarray(self.shape, kind, storages[key], self.offset * kind.itemsize, strides).copy()


class _Unpickler(pickle.Unpickler):
    """Allows only the names that a table of tensors needs."""

    _allowed: dict[tuple[str, str], Callable[..., object] | Kind] = {  # noqa: RUF012 - never changed
        ("collections", "OrderedDict"): OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2"): _Tensor,
        ("torch", "FloatStorage"): np.dtype("<f4"),
        ("torch", "LongStorage"): np.dtype("<i8"),
    }

    def find_class(self, module: str, name: str) -> Callable[..., object] | Kind:
        if (module, name) not in self._allowed:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is not part of a tensor")
        return self._allowed[module, name]

    def persistent_load(self, identity: tuple[str, Kind, str, str, int, object]) -> Storage:
        _, kind, key, *_ = identity
        return kind, key


def load(path: Path) -> dict[str, NDArray[np.generic]]:
    """Read every named tensor; anything else in the file raises `TorchFileError`."""
    try:
        with path.open("rb") as file:
            for _ in range(_PREAMBLE):
                _Unpickler(file).load()
            tensors: dict[str, _Tensor] = _Unpickler(file).load()
            keys: list[str] = _Unpickler(file).load()
            kinds = {key: kind for kind, key in (tensor.storage for tensor in tensors.values())}
            storages = {}
            for key in keys:
                (count,) = struct.unpack("<q", file.read(8))
                storages[key] = file.read(count * kinds[key].itemsize)
        return {name: tensor.read(storages) for name, tensor in tensors.items()}
    except (EOFError, KeyError, TypeError, ValueError, pickle.UnpicklingError, struct.error) as error:
        raise TorchFileError(
            f"{path}: is no PyTorch weights file in the format before 1.6: {error}"
        ) from error
