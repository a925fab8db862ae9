"""Reads a PyTorch weights file in the format before PyTorch 1.6, without PyTorch.

Such a file is a sequence of pickles (magic number, protocol version, system information, the named tensors,
the storage keys) followed by each storage as its length and raw numbers. Source: `torch/serialization.py`,
`_legacy_save`. A pickle can execute any code, so only the names that tensors consist of are allowed.
"""

from __future__ import annotations

import pickle
import struct
from collections import OrderedDict
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

_PREAMBLE = 3  # pickles before the named tensors
Kind = np.dtype[np.float32] | np.dtype[np.int64]
_KINDS: dict[str, Kind] = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


class TorchFileError(Exception):
    """The file cannot be read; the message says why."""


class _Tensor:
    """A tensor's storage and, in elements, its offset, shape and strides."""

    def __init__(
        self,
        storage: tuple[str, str],
        offset: int,
        shape: tuple[int, ...],
        strides: tuple[int, ...],
        *_: object,  # requires_grad and hooks
    ) -> None:
        self.kind, self.key = storage
        self.offset, self.shape, self.strides = offset, shape, strides

    def read(self, storages: dict[str, bytes]) -> NDArray[np.generic]:
        kind = _KINDS[self.kind]
        numbers: NDArray[np.generic] = np.frombuffer(storages[self.key], kind)[self.offset :]
        last = sum((side - 1) * stride for side, stride in zip(self.shape, self.strides, strict=True))
        if min((self.offset, *self.shape, *self.strides)) < 0 or last >= len(numbers):
            raise TorchFileError("a tensor reaches beyond its storage")  # numpy would read foreign memory
        strides = [stride * kind.itemsize for stride in self.strides]
        return np.lib.stride_tricks.as_strided(numbers, self.shape, strides).copy()


class _Unpickler(pickle.Unpickler):
    """Allows only the names that a table of tensors needs."""

    _allowed: dict[tuple[str, str], Callable[..., object] | str] = {  # noqa: RUF012 - never changed
        ("collections", "OrderedDict"): OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2"): _Tensor,
        ("torch", "FloatStorage"): "FloatStorage",
        ("torch", "LongStorage"): "LongStorage",
    }

    def find_class(self, module: str, name: str) -> Callable[..., object] | str:
        if (module, name) not in self._allowed:
            raise TorchFileError(f"names {module}.{name}, which is not part of a tensor")
        return self._allowed[module, name]

    def persistent_load(self, identity: tuple[str, str, str, str, int, object]) -> tuple[str, str]:
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
            kinds = {tensor.key: _KINDS[tensor.kind] for tensor in tensors.values()}
            storages = {key: _storage(file, kinds[key]) for key in keys}
        return {name: tensor.read(storages) for name, tensor in tensors.items()}
    except TorchFileError as error:
        raise TorchFileError(f"{path}: {error}") from error
    except (EOFError, KeyError, TypeError, ValueError, pickle.UnpicklingError, struct.error) as error:
        raise TorchFileError(
            f"{path}: is no PyTorch weights file in the format before 1.6: {error}"
        ) from error


def _storage(file: BinaryIO, kind: Kind) -> bytes:
    (count,) = struct.unpack("<q", file.read(8))
    numbers = file.read(count * kind.itemsize)
    if len(numbers) != count * kind.itemsize:
        raise EOFError("ends in the middle of a tensor")
    return numbers
