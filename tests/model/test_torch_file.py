"""Tensors are read from a weights file written by hand; nothing else in it is let through."""

from __future__ import annotations

import io
import os
import pickle
import struct
from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np
import pytest

from model.torch_file import TorchFileError, load

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


class Named:
    """Pickles as the name of something in another module, which need not be there."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name


class Storage:
    """Numbers that tensors share, kept outside the pickle."""

    def __init__(self, key: str, kind: str, numbers: NDArray[np.generic]) -> None:
        self.key, self.kind, self.numbers = key, kind, numbers


class Tensor:
    """A view of a storage; strides count elements."""

    def __init__(
        self, storage: Storage, *, offset: int = 0, shape: tuple[int, ...], strides: tuple[int, ...]
    ) -> None:
        hooks: OrderedDict[str, object] = OrderedDict()
        self.arguments = (storage, offset, shape, strides, False, hooks)


class Pickler(pickle._Pickler):
    """Writes as PyTorch did, without it.

    Its base is the pickler in Python, which has no types, but whose writing of names can be changed.
    """

    def persistent_id(self, thing: object) -> object:
        if isinstance(thing, Storage):
            kind = Named("torch", thing.kind)
            return ("storage", kind, thing.key, "cpu", len(thing.numbers), None)
        return None

    def save(self, obj: object, save_persistent_id: bool = True) -> None:
        if isinstance(obj, Named):
            self.write(f"c{obj.module}\n{obj.name}\n".encode())  # type: ignore[attr-defined]  # see above
        elif isinstance(obj, Tensor):
            self.save(Named("torch._utils", "_rebuild_tensor_v2"))
            self.save(obj.arguments)
            self.write(pickle.REDUCE)  # type: ignore[attr-defined]
        else:
            super().save(obj, save_persistent_id)  # type: ignore[misc]


def pickled(thing: object) -> bytes:
    buffer = io.BytesIO()
    Pickler(buffer, protocol=2).dump(thing)
    return buffer.getvalue()


def weights_file(tensors: dict[str, Tensor], *storages: Storage) -> bytes:
    facts = {"protocol_version": PROTOCOL, "little_endian": True, "type_sizes": {"int": 4}}
    head = [MAGIC, PROTOCOL, facts, OrderedDict(tensors), [storage.key for storage in storages]]
    tail = [
        struct.pack("<q", len(storage.numbers)) + storage.numbers.astype(storage.numbers.dtype).tobytes()
        for storage in storages
    ]
    return b"".join([*map(pickled, head), *tail])


@pytest.fixture
def numbers() -> Storage:
    return Storage("first", "FloatStorage", np.arange(24, dtype="<f4") / 8)


@pytest.fixture
def counts() -> Storage:
    return Storage("second", "LongStorage", np.array([7, -(2**40)], dtype="<i8"))


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_tensors_are_read_by_name_and_kind(tmp_path: Path, numbers: Storage, counts: Storage) -> None:
    tensors = {
        "conv.weight": Tensor(numbers, shape=(2, 3, 4), strides=(12, 4, 1)),
        "bn.count": Tensor(counts, shape=(2,), strides=(1,)),
    }
    read = load(written(tmp_path / "weights", weights_file(tensors, numbers, counts)))
    assert list(read) == ["conv.weight", "bn.count"]
    assert read["conv.weight"].dtype == np.float32
    assert np.array_equal(read["conv.weight"], np.arange(24).reshape(2, 3, 4) / 8)
    assert read["bn.count"].tolist() == [7, -(2**40)]


def test_views_of_one_storage_are_read_through_their_offset_and_strides(
    tmp_path: Path, numbers: Storage
) -> None:
    tensors = {
        "transposed": Tensor(numbers, shape=(4, 6), strides=(1, 4)),
        "every other": Tensor(numbers, offset=3, shape=(5,), strides=(2,)),
        "one number": Tensor(numbers, offset=23, shape=(), strides=()),
    }
    read = load(written(tmp_path / "weights", weights_file(tensors, numbers)))
    plain = np.arange(24, dtype=np.float32) / 8
    assert np.array_equal(read["transposed"], plain.reshape(6, 4).T)
    assert np.array_equal(read["every other"], plain[3:12:2])
    assert read["one number"] == plain[23]


def test_what_is_read_is_a_copy_of_its_own(tmp_path: Path, numbers: Storage) -> None:
    tensors = {name: Tensor(numbers, shape=(24,), strides=(1,)) for name in ("a", "b")}
    read = load(written(tmp_path / "weights", weights_file(tensors, numbers)))
    read["a"][:] = 0
    assert read["b"].max() > 0


@pytest.mark.parametrize(
    ("module", "name"), [("os", "system"), ("posix", "system"), ("builtins", "eval"), ("torch", "load")]
)
@pytest.mark.parametrize("place", range(5))
def test_a_file_that_names_code_is_refused_before_it_runs(
    tmp_path: Path, numbers: Storage, module: str, name: str, place: int
) -> None:
    # Given a file in one of whose pickles a command stands
    touched = tmp_path / "touched"
    command = b"c%b\n%b\n(X%b%btR." % (
        *(module.encode(), name.encode()),
        *(struct.pack("<I", len(os.fsencode(f"touch {touched}"))), os.fsencode(f"touch {touched}")),
    )
    whole: tuple[object, ...] = (MAGIC, PROTOCOL, {}, OrderedDict(), [])
    parts = [pickled(part) for part in whole]
    parts[place] = b"\x80\x02" + command
    # Then it is named, and was not run
    with pytest.raises(TorchFileError, match=rf"weights: names {module}\.{name}, which is no part"):
        load(written(tmp_path / "weights", b"".join(parts)))
    assert not touched.exists()


def test_the_command_of_that_file_would_run_elsewhere(tmp_path: Path) -> None:
    # What the test above relies on: Python's own unpickler does run it
    touched = tmp_path / "touched"
    text = os.fsencode(f"touch {touched}")
    pickle.loads(b"\x80\x02cos\nsystem\n(X" + struct.pack("<I", len(text)) + text + b"tR.")
    assert touched.exists()


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.9, 0.999])
def test_a_file_cut_off_anywhere_is_an_error_that_names_it(
    tmp_path: Path, numbers: Storage, share: float
) -> None:
    whole = weights_file({"a": Tensor(numbers, shape=(24,), strides=(1,))}, numbers)
    path = written(tmp_path / "weights.pth", whole[: int(share * len(whole))])
    with pytest.raises(TorchFileError, match=r"weights\.pth: is no PyTorch weights file"):
        load(path)


@pytest.mark.parametrize("data", [b"PK\x03\x04 a newer file is a zip", b"\x00" * 64, b"text\n"])
def test_another_form_of_file_is_an_error(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(TorchFileError, match="no PyTorch weights file of the form before"):
        load(written(tmp_path / "weights", data))


def test_numbers_of_an_unknown_kind_are_an_error(tmp_path: Path) -> None:
    halves = Storage("first", "HalfStorage", np.zeros(4, dtype="<f2"))
    data = weights_file({"a": Tensor(halves, shape=(4,), strides=(1,))}, halves)
    with pytest.raises(TorchFileError, match="HalfStorage"):
        load(written(tmp_path / "weights", data))


def test_a_tensor_that_reaches_beyond_its_storage_is_an_error(tmp_path: Path, numbers: Storage) -> None:
    for tensor in (
        Tensor(numbers, offset=20, shape=(5,), strides=(1,)),
        Tensor(numbers, shape=(3, 3), strides=(12, 1)),
        Tensor(numbers, shape=(5,), strides=(-1,)),
    ):
        with pytest.raises(TorchFileError, match="reaches beyond its storage"):
            load(written(tmp_path / "weights", weights_file({"a": tensor}, numbers)))
