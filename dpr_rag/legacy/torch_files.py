"""The two containers that ``torch.save`` has written: a zip file, and the older stream; read without torch."""

from __future__ import annotations

import io
import math
import os
import struct
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from dpr_rag.errors import CorpusError, DprRagError, UnsafeFileError
from dpr_rag.legacy.allowance import Allowance
from dpr_rag.legacy.plain import plain
from dpr_rag.legacy.refusals import damaged, named
from dpr_rag.legacy.standins import Maker, sizes
from dpr_rag.legacy.unpickler import PickleReader, read_pickle

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
        raise UnsafeFileError("the file tries to change a storage")


@dataclass(frozen=True, slots=True)
class _Tensor:
    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def __setstate__(self, state: object) -> None:
        raise UnsafeFileError("the file tries to change a tensor")


@dataclass(frozen=True, slots=True)
class _StorageType:
    """What stands for ``torch.FloatStorage`` and its sisters."""

    code: str

    def __call__(self, *_: object) -> object:
        raise UnsafeFileError("a storage outside the file's own blocks")


def _rebuild_tensor(storage: object, offset: object, size: object, stride: object, *_: object) -> _Tensor:
    if not isinstance(storage, _Storage):
        raise UnsafeFileError("a tensor without a storage of its own file")
    (first,) = sizes((offset,))
    if len(sizes(size)) != len(sizes(stride)):
        raise ValueError("a tensor whose size and stride differ in length")
    return _Tensor(storage, first, sizes(size), sizes(stride))


def _rebuild_parameter(tensor: object, *_: object) -> object:
    return tensor


def _size(items: object = ()) -> tuple[int, ...]:
    return sizes(tuple(items) if isinstance(items, list) else items)


_NAMES: dict[str, Callable[..., object]] = {
    "torch._utils._rebuild_parameter": _rebuild_parameter,
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch.Size": _size,
    **{f"torch.{name}": _StorageType(code) for name, code in _STORAGES.items()},
}


class _TorchReader(PickleReader):
    """Reads the pickle of a torch file, and keeps the storages that it names in ``storages``."""

    storages: dict[str, _Storage]

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


@dataclass(frozen=True, slots=True)
class _Source:
    """A file, and what it may hold and make."""

    file: BinaryIO
    path: Path
    allowed: Mapping[str, Callable[..., object]]
    skip: bool
    allowance: Allowance

    def named(self, file: BinaryIO) -> tuple[Any, dict[str, _Storage]]:
        """Read a pickle that may name tensors; return its object and the storages."""
        names = {**_NAMES, **self.allowed}
        reader = _TorchReader(file, self.allowance, allowed=names, skip=self.skip)
        reader.storages = {}
        return read_pickle(reader, self.path), reader.storages

    def bare(self) -> Any:
        """Read a pickle of numbers and names, such as those around the tensors of a stream."""
        described = read_pickle(PickleReader(self.file, self.allowance), self.path)
        return plain(described, self.path, self.allowance)


def read_torch(path: Path, *, allowed: Mapping[str, Callable[..., object]] | None = None, skip: bool = False) -> Any:
    """Read what ``torch.save`` wrote, with numpy arrays for tensors; nothing of the file is run.

    Args:
        path: The file, in torch's zip container (torch 1.6 and newer) or the older stream.
        allowed: Further global names that the file may hold, as for ``PickleReader``.
        skip: Whether OmegaConf objects and type references may stand in the file, as ``Skipped``.

    Returns:
        The saved object; bfloat16 becomes float32, and tensors that share a storage share memory.

    Raises:
        UnsafeFileError: The file asks for more than tensors, plain containers and what is allowed.
        CorpusError: It cannot be read, is truncated, damaged or no torch file.
    """
    try:
        with path.open("rb") as file:
            source = _Source(file, path, allowed or {}, skip, Allowance(os.fstat(file.fileno()).st_size))
            return (_read_zip if file.peek(4)[:4] == b"PK\x03\x04" else _read_stream)(source)
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error.strerror or error}); check the path") from error
    except UnsafeFileError as error:
        raise named(error, path) from error.__cause__  # the same error, where it is named already
    except DprRagError:
        raise
    except (zipfile.BadZipFile, NotImplementedError, EOFError, TypeError, ValueError, struct.error) as error:
        raise damaged(path, error) from error


def _read_zip(source: _Source) -> Any:
    path = source.path
    with zipfile.ZipFile(source.file) as archive:
        names = [name for name in archive.namelist() if name.endswith("/data.pkl") or name == "data.pkl"]
        if len(names) != 1:
            raise CorpusError(f"{path}: a zip file with {len(names)} entries 'data.pkl', expected 1 as torch writes it")
        root = names[0].removesuffix("data.pkl")
        for entry in archive.infolist():
            # torch never compresses, so that a small file cannot unpack into a huge one
            if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
                raise UnsafeFileError(
                    f"the entry {entry.filename!r:.120} is compressed or encrypted, which torch never does"
                )

        def entry_of(name: str) -> bytes:
            source.allowance.take(archive.getinfo(name).file_size)  # entries may lie over one another
            return archive.read(name)

        order = entry_of(f"{root}byteorder") if f"{root}byteorder" in archive.namelist() else b"little"
        value, _ = source.named(io.BytesIO(entry_of(names[0])))
        blocks = _Blocks(
            lambda storage: bytearray(entry_of(f"{root}data/{storage.key}")),
            source.allowance,
            big=order.strip() == b"big",
        )
        return plain(value, path, source.allowance, tensor=blocks.array)


def _read_stream(source: _Source) -> Any:
    file, path = source.file, source.path
    if [source.bare(), source.bare()] != [_STREAM_MAGIC, _STREAM_PROTOCOL]:
        raise CorpusError(f"{path}: is no file of torch.save (no magic number); convert it to one, or to safetensors")
    info = source.bare()
    value, storages = source.named(file)
    keys = source.bare()
    big = isinstance(info, dict) and info.get("little_endian") is False
    if not isinstance(keys, list) or any(not isinstance(key, str) for key in keys) or not {*storages} <= {*keys}:
        raise damaged(path, "storages are missing")
    raw = {key: _next_block(file, storages.get(key), path, big=big) for key in keys}
    blocks = _Blocks(lambda storage: raw.pop(storage.key), source.allowance, big=big)
    return plain(value, path, source.allowance, tensor=blocks.array)


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
    """The numbers of a file's storages; tensors that share a storage share memory."""

    def __init__(self, read: Callable[[_Storage], bytearray], allowance: Allowance, *, big: bool) -> None:
        self._read = read
        self._allowance = allowance
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
        # what the numbers come to once somebody copies them: strides of 0 make trillions out of one
        self._allowance.take(math.prod(tensor.size) * flat.itemsize)
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
