"""DPR's original ``.cp`` checkpoints: read without torch in both containers that torch has written, and written."""

from __future__ import annotations

import io
import os
import struct
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from dpr_rag.errors import CorpusError, DprRagError, ModelError, UnsafeFileError
from dpr_rag.legacy.standins import Maker, Sealed, sizes
from dpr_rag.legacy.unpickler import PlainUnpickler, damaged, plain, read_pickle

CHECKPOINT_FIELDS = ("model_dict", "optimizer_dict", "scheduler_dict", "offset", "epoch", "encoder_params")
_STREAM_MAGIC = 0x1950A86A20F9469CFC6C
_STREAM_PROTOCOL = 1001
_BFLOAT16 = "bfloat16"
_STORAGES = {
    **{"DoubleStorage": "f8", "FloatStorage": "f4", "HalfStorage": "f2", "BFloat16Storage": _BFLOAT16},
    **{"LongStorage": "i8", "IntStorage": "i4", "ShortStorage": "i2", "CharStorage": "i1"},
    **{"ByteStorage": "u1", "BoolStorage": "?"},
}


@dataclass(frozen=True, slots=True)
class _Storage:
    """A flat block of numbers in the file: ``count`` of them, of which a view begins at ``start``."""

    key: str
    code: str
    count: int
    start: int = 0

    def __setstate__(self, state: object) -> None:
        raise UnsafeFileError("the file tries to change a storage; use a file from a trusted source")


@dataclass(frozen=True, slots=True)
class _Tensor:
    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def __setstate__(self, state: object) -> None:
        raise UnsafeFileError("the file tries to change a tensor; use a file from a trusted source")


@dataclass(frozen=True, slots=True)
class _StorageType:
    """What stands for ``torch.FloatStorage`` and its sisters."""

    code: str

    def __call__(self, *_: object) -> object:
        raise UnsafeFileError("a storage outside the file's own blocks")


class _CheckpointState(metaclass=Sealed):
    """DPR's named tuple, which becomes the dict that other versions of DPR write."""

    __slots__ = ()

    def __new__(cls, *fields: object) -> dict[str, object]:  # type: ignore[misc]
        if len(fields) != len(CHECKPOINT_FIELDS):
            raise ValueError(f"a CheckpointState of {len(fields)} fields, expected {len(CHECKPOINT_FIELDS)}")
        return dict(zip(CHECKPOINT_FIELDS, fields, strict=True))


def _rebuild_tensor(storage: object, offset: object, size: object, stride: object, *_: object) -> _Tensor:
    if not isinstance(storage, _Storage):
        raise UnsafeFileError("a tensor without a storage of its own file")
    (first,) = sizes((offset,))
    if len(sizes(size)) != len(sizes(stride)):
        raise ValueError("a tensor whose size and stride differ in length")
    return _Tensor(storage, first, sizes(size), sizes(stride))


def _rebuild_parameter(tensor: object, *_: object) -> object:
    return tensor


_NAMES: dict[str, Callable[..., object]] = {
    "dpr.utils.model_utils.CheckpointState": _CheckpointState,
    "torch._utils._rebuild_parameter": _rebuild_parameter,
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch.Size": tuple,
    **{f"torch.{name}": _StorageType(code) for name, code in _STORAGES.items()},
}


class _CheckpointUnpickler(PlainUnpickler):
    def __init__(self, file: BinaryIO, path: Path) -> None:
        super().__init__(file, path, allowed=_NAMES, skip=True)
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        return super().find_class(module, name)

    def persistent_load(self, pid: Any) -> _Storage:
        if not isinstance(pid, tuple) or len(pid) not in {5, 6} or pid[0] != "storage":
            return super().persistent_load(pid)  # type: ignore[no-any-return]
        _, kind, key, _, count, *view = pid
        if not isinstance(kind, Maker) or not isinstance(kind.make, _StorageType) or not isinstance(key, str):
            raise UnsafeFileError("a storage of an unknown type")
        (count,) = sizes((count,))
        root = self.storages.setdefault(key, _Storage(key, kind.make.code, count))
        if (root.code, root.count) != (kind.make.code, count):
            raise ValueError(f"storage {key!r} is described in two ways")
        if not view or view[0] is None:
            return root
        _, start, _ = view[0]
        return _Storage(key, root.code, count, *sizes((start,)))


class _Reader:
    """Makes the unpickler and keeps the storages that it met."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.storages: dict[str, _Storage] = {}

    def __call__(self, file: BinaryIO) -> _CheckpointUnpickler:
        unpickler = _CheckpointUnpickler(file, self._path)
        self.storages = unpickler.storages
        return unpickler


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read an original DPR checkpoint without importing torch.

    Reads torch's zip container (torch 1.6 and newer) and the older stream, of the dict or the ``CheckpointState``
    that DPR saves. Nothing of the file is run; OmegaConf objects in ``encoder_params`` become ``Skipped``.

    Args:
        path: A ``.cp`` file.

    Returns:
        The fields ``model_dict, optimizer_dict, scheduler_dict, offset, epoch, encoder_params`` that the file has,
        with numpy arrays for tensors; bfloat16 becomes float32.

    Raises:
        UnsafeFileError: The file asks for more than tensors and plain containers.
        CorpusError: It is truncated, damaged or no torch file.
        ModelError: It holds something else than a DPR checkpoint.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            state = _read_zip(file, path) if file.peek(4)[:4] == b"PK\x03\x04" else _read_stream(file, path)
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error.strerror or error}); check the path") from error
    except DprRagError:
        raise
    except (zipfile.BadZipFile, NotImplementedError, EOFError, ValueError, struct.error) as error:
        raise damaged(path, error) from error
    if not isinstance(state, dict) or not isinstance(state.get("model_dict"), dict):
        found = sorted(map(str, state))[:8] if isinstance(state, dict) else type(state).__name__
        raise ModelError(f"{path}: holds {found}, expected a DPR checkpoint with the field 'model_dict'")
    return state


def _read_zip(file: BinaryIO, path: Path) -> Any:
    with zipfile.ZipFile(file) as archive:
        names = [name for name in archive.namelist() if name.endswith("/data.pkl") or name == "data.pkl"]
        if len(names) != 1:
            raise CorpusError(f"{path}: a zip file with {len(names)} entries 'data.pkl', expected 1 as torch writes it")
        root = names[0].removesuffix("data.pkl")
        for entry in archive.infolist():
            # torch never compresses, so that a small file cannot unpack into a huge one
            if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
                raise UnsafeFileError(
                    f"{path}: the entry {entry.filename!r:.120} is compressed or encrypted, which torch never does"
                )
        order = archive.read(f"{root}byteorder") if f"{root}byteorder" in archive.namelist() else b"little"
        blocks = _Blocks(
            lambda storage: bytearray(archive.read(f"{root}data/{storage.key}")), big=order.strip() == b"big"
        )
        value = read_pickle(io.BytesIO(archive.read(names[0])), path, _Reader(path))
        return plain(value, path, tensor=blocks.array)


def _read_stream(file: BinaryIO, path: Path) -> Any:
    head = [read_pickle(file, path) for _ in range(2)]
    if head != [_STREAM_MAGIC, _STREAM_PROTOCOL]:
        raise CorpusError(f"{path}: is no file of torch.save (no magic number); convert it to one, or to safetensors")
    info = read_pickle(file, path)
    reader = _Reader(path)
    value = read_pickle(file, path, reader)
    keys = read_pickle(file, path)
    big = isinstance(info, dict) and info.get("little_endian") is False
    if not isinstance(keys, list) or not {*reader.storages} <= {*keys}:
        raise damaged(path, "storages are missing")
    raw = {key: _next_block(file, reader.storages.get(key), path, big=big) for key in keys}
    return plain(value, path, tensor=_Blocks(lambda storage: raw.pop(storage.key), big=big).array)


def _next_block(file: BinaryIO, storage: _Storage | None, path: Path, *, big: bool) -> bytearray:
    head = file.read(8)
    if storage is None or len(head) < 8 or struct.unpack(">q" if big else "<q", head)[0] != storage.count:
        raise damaged(path, "a storage of unexpected length")
    length = storage.count * np.dtype(_raw(storage.code)).itemsize
    if length > os.fstat(file.fileno()).st_size - file.tell():
        raise damaged(path, "the file ends inside a storage")
    return bytearray(file.read(length))


def _raw(code: str) -> str:
    return "u2" if code == _BFLOAT16 else code


class _Blocks:
    """The numbers of a checkpoint's storages; tensors that share a storage share memory."""

    def __init__(self, read: Callable[[_Storage], bytearray], *, big: bool) -> None:
        self._read = read
        self._order = ">" if big else "<"
        self._flat: dict[str, npt.NDArray[Any]] = {}

    def array(self, tensor: Any) -> npt.NDArray[Any]:
        """Return a tensor of the file as an array, after checking that it lies inside its storage."""
        if not isinstance(tensor, _Tensor):
            raise UnsafeFileError("a storage or function where a value was expected")
        flat = self._block(tensor.storage)
        first = tensor.storage.start + tensor.offset
        steps = [(size - 1) * stride for size, stride in zip(tensor.size, tensor.stride, strict=True)]
        if 0 in tensor.size:
            return np.zeros(tensor.size, flat.dtype)
        if first + sum(steps) >= flat.size:
            raise ValueError("a tensor reaches beyond its storage")
        # numbers that a stride of 0 repeats must not be written through
        shared = any(size > 1 and stride == 0 for size, stride in zip(tensor.size, tensor.stride, strict=True))
        strides = [stride * flat.itemsize for stride in tensor.stride]
        return np.lib.stride_tricks.as_strided(flat[first:], tensor.size, strides, writeable=not shared)

    def _block(self, storage: _Storage) -> npt.NDArray[Any]:
        if storage.key not in self._flat:
            values = np.frombuffer(self._read(storage), np.dtype(f"{self._order}{_raw(storage.code)}"))
            if values.size < storage.count:
                raise ValueError(f"storage {storage.key!r} holds {values.size} numbers, expected {storage.count}")
            native = values.astype(_raw(storage.code), copy=False)
            if storage.code == _BFLOAT16:
                native = (native.astype(np.uint32) << 16).view(np.float32)
            self._flat[storage.key] = native
        return self._flat[storage.key]


def write_checkpoint(path: str | Path, state: Mapping[str, Any]) -> None:
    """Write a DPR checkpoint that ``torch.load(weights_only=True)`` and DPR's own code read.

    Args:
        path: The ``.cp`` file to write or replace.
        state: ``model_dict`` (names to arrays) and any of the other five fields, which default to what DPR writes
            before training.

    Raises:
        ModelError: An unknown field, no ``model_dict``, or a value that is no array, number, string or container.
    """
    import torch

    path = Path(path)
    unknown = sorted(set(state) - set(CHECKPOINT_FIELDS))
    if unknown or not isinstance(state.get("model_dict"), Mapping):
        raise ModelError(f"{path}: a checkpoint has the fields {list(CHECKPOINT_FIELDS)}, given were {sorted(state)}")
    empty = {"optimizer_dict": {}, "scheduler_dict": {}, "offset": 0, "epoch": 0, "encoder_params": {}}
    filled = {**empty, **state}
    tensors = {name: _with_tensors(filled[name], name) for name in CHECKPOINT_FIELDS}
    partial = path.with_name(f".{path.name}.partial")
    try:
        torch.save(tensors, partial)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _with_tensors(value: Any, where: str) -> Any:
    import torch

    if isinstance(value, np.ndarray):
        return torch.from_numpy(np.array(value, order="C"))
    if isinstance(value, Mapping):
        return {name: _with_tensors(item, f"{where}.{name}") for name, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_with_tensors(item, where) for item in value)
    if value is None or isinstance(value, bool | int | float | str | torch.Tensor):
        return value
    raise ModelError(f"{where} is {value!r:.80}, expected arrays, numbers, strings, lists or dicts; replace or drop it")
