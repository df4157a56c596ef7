"""What a checkpoint is to the converter, whatever its container.

`torch_reader` and `safetensors_reader` produce it, `naming` and `convert` consume it. A tensor
is a description (shape, element type, strides) plus a function that fetches its bytes: nothing
is read or allocated before somebody asks for a tensor whose description was found right, and
optimizer states are never read at all.
"""

from __future__ import annotations

import hashlib
import math
import mmap
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .errors import InputRefused, shown

# Element types of both containers: name -> (bytes, numpy type of the stored bytes). BF16 has no
# numpy type; it is read as its 16 bits and widened.
ELEMENTS: dict[str, tuple[int, str]] = {
    "F64": (8, "<f8"),
    "F32": (4, "<f4"),
    "F16": (2, "<f2"),
    "BF16": (2, "<u2"),
    "I64": (8, "<i8"),
    "I32": (4, "<i4"),
    "I16": (2, "<i2"),
    "I8": (1, "i1"),
    "U8": (1, "u1"),
    "BOOL": (1, "u1"),
}
FLOATS = ("F64", "F32", "F16", "BF16")

MAX_DIMENSIONS = 8
MAX_EXTENT = 1 << 40
# A tensor may repeat the elements of its storage (stride 0 after expand()) only while it is
# small; otherwise four bytes of file could demand any amount of memory.
MAX_REPEATED = 1 << 16


@dataclass(frozen=True)
class Storage:
    """`count` elements of type `dtype`; `fetch()` returns exactly their bytes."""

    name: str
    dtype: str
    count: int
    fetch: Callable[[], memoryview] = field(repr=False, compare=False)


@dataclass(frozen=True)
class LazyTensor:
    """A strided view of a storage, checked to lie inside it. Offset and strides in elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def dtype(self) -> str:
        return self.storage.dtype

    @property
    def count(self) -> int:
        return math.prod(self.shape)

    def read(self) -> np.ndarray:
        """The values, a fresh C-contiguous array of `shape`; floats as float64, others as int64."""
        size, code = ELEMENTS[self.dtype]
        raw = self.storage.fetch()
        if len(raw) < self.storage.count * size:
            raise InputRefused(
                f"storage {shown(self.storage.name)}: holds {len(raw)} bytes, expected "
                f"{self.storage.count * size}"
            )
        flat = np.frombuffer(raw, dtype=code, count=self.storage.count)
        # make_tensor() has checked that the last element addressed lies inside the storage.
        view = np.lib.stride_tricks.as_strided(
            flat[self.offset :],
            shape=self.shape,
            strides=[stride * size for stride in self.strides],
            writeable=False,
        )
        if self.dtype == "BF16":
            # In place: numpy 1 would make a 64-bit scalar of a 0-dimensional array's shift.
            wide = view.astype(np.uint32)
            wide <<= np.uint32(16)
            return wide.view(np.float32).astype(np.float64)
        return view.astype(np.float64 if self.dtype in FLOATS else np.int64)


def make_tensor(
    where: str, storage: Storage, offset: object, shape: object, strides: object
) -> LazyTensor:
    """A LazyTensor from untrusted numbers, or InputRefused. Allocates nothing."""
    dims = _extents(where, "shape", shape)
    steps = _extents(where, "stride", strides)
    if len(dims) != len(steps):
        raise InputRefused(
            f"{where}: has {len(dims)} dimensions and {len(steps)} strides, expected as many"
        )
    if type(offset) is not int or not 0 <= offset <= MAX_EXTENT:
        raise InputRefused(f"{where}: has offset {shown(offset)}, expected 0 to 2^40")
    count = math.prod(dims)
    last = offset
    if count:
        last += sum((extent - 1) * step for extent, step in zip(dims, steps, strict=True))
    if (count and last >= storage.count) or offset > storage.count:
        raise InputRefused(
            f"{where}: reaches element {last}, but its storage "
            f"{shown(storage.name)} has {storage.count} elements"
        )
    if count > max(storage.count, MAX_REPEATED):
        raise InputRefused(
            f"{where}: shape {list(dims)} repeats the {storage.count} elements of its storage; "
            f"expected at most {MAX_REPEATED} elements for such a tensor"
        )
    return LazyTensor(storage, offset, dims, steps)


def _extents(where: str, what: str, value: object) -> tuple[int, ...]:
    if not isinstance(value, tuple | list) or len(value) > MAX_DIMENSIONS:
        raise InputRefused(
            f"{where}: its {what} is not a list of at most {MAX_DIMENSIONS} integers"
        )
    for extent in value:
        if type(extent) is not int or not 0 <= extent <= MAX_EXTENT:
            raise InputRefused(
                f"{where}: its {what} contains {shown(extent)}, expected integers from 0 to 2^40"
            )
    return tuple(value)


@dataclass
class Checkpoint:
    """A file's contents: nested dicts, lists and scalars with LazyTensor leaves.

    `container` says how it was stored ("torch zip", "torch legacy", "safetensors"); the tensors
    keep the file mapped as long as they live.
    """

    path: Path
    container: str
    tree: object
    sha256: str


def map_file(path: Path) -> mmap.mmap:
    """The whole file, mapped read-only. Refuses what is not a regular, non-empty file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        raise InputRefused(f"{path}: cannot be opened: {error.strerror}") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise InputRefused(f"{path}: is not a regular file")
        if status.st_size == 0:
            raise InputRefused(f"{path}: is empty")
        return mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
    finally:
        os.close(descriptor)


def open_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Reads any supported checkpoint. The format is told by its bytes, never by its name.

    Raises InputRefused, and nothing else, for any content.
    """
    from . import safetensors_reader, torch_reader

    path = Path(path)
    mapped = map_file(path)
    data = memoryview(mapped)
    try:
        if safetensors_reader.looks_like(data):
            container, tree = "safetensors", safetensors_reader.read(data)
        else:
            container, tree = torch_reader.read(data)
    except InputRefused as error:
        raise InputRefused(f"{path}: {error}") from error
    return Checkpoint(path, container, tree, hashlib.sha256(data).hexdigest())
