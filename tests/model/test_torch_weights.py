"""Tensors are read from a handwritten weights file; anything else in it is refused."""

from __future__ import annotations

import io
import os
import pickle
import struct
import sys
from collections import OrderedDict
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest.mock import patch

import numpy as np
import pytest

from model.networks.torch_weights import TorchFileError, load

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


class Storage(NamedTuple):
    """Numbers that tensors share, kept outside the pickle."""

    key: str
    kind: str
    numbers: NDArray[np.generic]


class Tensor:
    """A view of a storage; strides count elements."""

    def __init__(
        self, storage: Storage, *, offset: int = 0, shape: tuple[int, ...], strides: tuple[int, ...]
    ) -> None:
        hooks: OrderedDict[str, object] = OrderedDict()
        self.arguments = (storage, offset, shape, strides, False, hooks)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild_tensor_v2, self.arguments


def _rebuild_tensor_v2() -> None:
    """Stands for PyTorch's, of which a file holds the name alone, as it does of the kinds."""


_rebuild_tensor_v2.__module__ = "torch._utils"
KINDS = {
    name: type(name, (), {"__module__": "torch"}) for name in ("FloatStorage", "LongStorage", "HalfStorage")
}
MODULES = {
    "torch": SimpleNamespace(**KINDS),
    "torch._utils": SimpleNamespace(_rebuild_tensor_v2=_rebuild_tensor_v2),
}


class Pickler(pickle.Pickler):
    """Writes as PyTorch did, without it."""

    def persistent_id(self, thing: object) -> object:
        if isinstance(thing, Storage):
            return ("storage", KINDS[thing.kind], thing.key, "cpu", len(thing.numbers), None)
        return None


def pickled(thing: object) -> bytes:
    buffer = io.BytesIO()
    with patch.dict(sys.modules, MODULES):
        Pickler(buffer, protocol=2).dump(thing)
    return buffer.getvalue()


def weights_file(tensors: dict[str, Tensor], *storages: Storage) -> bytes:
    facts = {"protocol_version": PROTOCOL, "little_endian": True, "type_sizes": {"int": 4}}
    head = [MAGIC, PROTOCOL, facts, OrderedDict(tensors), [storage.key for storage in storages]]
    tail = [struct.pack("<q", len(each.numbers)) + each.numbers.tobytes() for each in storages]
    return b"".join([*map(pickled, head), *tail])


NUMBERS = Storage("first", "FloatStorage", np.arange(24, dtype="<f4") / 8)
COUNTS = Storage("second", "LongStorage", np.array([7, -(2**40)], dtype="<i8"))
HALVES = Storage("first", "HalfStorage", np.zeros(4, dtype="<f2"))
WHOLE = weights_file({"a": Tensor(NUMBERS, shape=(24,), strides=(1,))}, NUMBERS)


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_tensors_are_read_by_name_kind_offset_and_strides(tmp_path: Path) -> None:
    tensors = {
        "conv.weight": Tensor(NUMBERS, shape=(2, 3, 4), strides=(12, 4, 1)),
        "transposed": Tensor(NUMBERS, shape=(4, 6), strides=(1, 4)),
        "every other": Tensor(NUMBERS, offset=3, shape=(5,), strides=(2,)),
        "one number": Tensor(NUMBERS, offset=23, shape=(), strides=()),
        "bn.count": Tensor(COUNTS, shape=(2,), strides=(1,)),
    }
    read = load(written(tmp_path / "weights", weights_file(tensors, NUMBERS, COUNTS)))
    plain = np.arange(24, dtype=np.float32) / 8
    assert list(read) == list(tensors)
    assert read["conv.weight"].dtype == np.float32
    assert np.array_equal(read["conv.weight"], plain.reshape(2, 3, 4))
    assert np.array_equal(read["transposed"], plain.reshape(6, 4).T)
    assert np.array_equal(read["every other"], plain[3:12:2])
    assert read["one number"] == plain[23]
    assert read["bn.count"].tolist() == [7, -(2**40)]


@pytest.mark.parametrize(
    ("module", "name"), [("os", "system"), ("posix", "system"), ("builtins", "eval"), ("torch", "load")]
)
@pytest.mark.parametrize("place", range(5))
def test_a_file_that_names_code_is_refused_before_it_runs(
    tmp_path: Path, module: str, name: str, place: int
) -> None:
    # Given a file with a command in one of its pickles
    touched = tmp_path / "touched"
    command = b"c%b\n%b\n(X%b%btR." % (
        *(module.encode(), name.encode()),
        *(struct.pack("<I", len(os.fsencode(f"touch {touched}"))), os.fsencode(f"touch {touched}")),
    )
    whole: tuple[object, ...] = (MAGIC, PROTOCOL, {}, OrderedDict(), [])
    parts = [pickled(part) for part in whole]
    parts[place] = b"\x80\x02" + command
    # Then it is reported and has not run
    with pytest.raises(TorchFileError, match=rf"weights: is no .* names {module}\.{name}, which is not part"):
        load(written(tmp_path / "weights", b"".join(parts)))
    assert not touched.exists()


@pytest.mark.parametrize(
    "data",
    [
        *(WHOLE[: int(share * len(WHOLE))] for share in (0, 0.1, 0.5, 0.9, 0.999)),
        *(b"PK\x03\x04 a newer file is a zip", b"\x00" * 64, b"text\n"),
    ],
)
def test_a_truncated_or_other_file_is_an_error_that_names_it(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(
        TorchFileError, match=r"weights\.pth: is no PyTorch weights file in the format before"
    ):
        load(written(tmp_path / "weights.pth", data))


@pytest.mark.parametrize(
    "tensor",
    [
        Tensor(HALVES, shape=(4,), strides=(1,)),
        Tensor(NUMBERS, offset=20, shape=(5,), strides=(1,)),
        Tensor(NUMBERS, offset=-1, shape=(5,), strides=(1,)),
        Tensor(NUMBERS, shape=(3, 3), strides=(12, 1)),
        Tensor(NUMBERS, shape=(5,), strides=(-1,)),
    ],
    ids=["of another kind", "too long", "before its storage", "too wide", "backwards"],
)
def test_an_invalid_tensor_is_an_error(tmp_path: Path, tensor: Tensor) -> None:
    data = weights_file({"a": tensor}, tensor.arguments[0])
    with pytest.raises(TorchFileError, match="is no PyTorch weights file"):
        load(written(tmp_path / "weights", data))
